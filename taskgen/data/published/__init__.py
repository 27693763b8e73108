"""The published data sets that the benchmark of Metz et al. 2022 trains on.

Their facts are here always; their arrays once they are prepared on this machine, see
:mod:`velodrome.taskgen.data.published.prepare`.
"""

from __future__ import annotations

from velodrome.taskgen.data.published.facts import INFOS
from velodrome.taskgen.data.published.prepared import PublishedDataset

__all__ = ["DATASETS", "INFOS"]

DATASETS = tuple(PublishedDataset(info) for info in INFOS)
"""Every published data set."""
