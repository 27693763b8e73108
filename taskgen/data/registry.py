"""Every data set by name.

Importing this is light: arrays are built, and jax is imported, when a data set is opened.
"""

from __future__ import annotations

from velodrome.foundation.registry import Registry
from velodrome.taskgen.data.builtin.atlas import ATLAS
from velodrome.taskgen.data.builtin.bible import BIBLE_TRANSLATION
from velodrome.taskgen.data.builtin.breast_cancer import BREAST_CANCER
from velodrome.taskgen.data.builtin.digits import DIGITS, MNIST5K
from velodrome.taskgen.data.builtin.kjv import KJV
from velodrome.taskgen.data.builtin.photos import PHOTOS
from velodrome.taskgen.data.info import Dataset, check_dataset
from velodrome.taskgen.data.own import names
from velodrome.taskgen.data.published.facts import INFOS, WORKLOADS
from velodrome.taskgen.data.published.prepared import PublishedDataset
from velodrome.taskgen.data.standin.catalog import STAND_INS
from velodrome.taskgen.data.standin.clicks import STAND_IN_CLICKS, STAND_IN_MANY_CLICKS
from velodrome.taskgen.data.standin.phantoms import STAND_IN_PHANTOMS
from velodrome.taskgen.data.standin.scans import STAND_IN_SCANS
from velodrome.taskgen.data.standin.speech import SYNTHETIC_TONES
from velodrome.taskgen.data.standin.workloads import STAND_INS as STAND_INS_OF_WORKLOADS

#: Other packages add theirs by the entry point ``velodrome.datasets``, users their files by
#: ``velodrome data add``.
datasets: Registry[Dataset] = Registry(
    "data set",
    group="velodrome.datasets",
    check=check_dataset,
    definition=lambda dataset: dataset.load,
    finder=names,
)

for _dataset in (
    *(DIGITS, MNIST5K, PHOTOS, KJV, BREAST_CANCER, BIBLE_TRANSLATION, ATLAS),
    *map(PublishedDataset, (*INFOS, *WORKLOADS)),
    *STAND_INS,
    *STAND_INS_OF_WORKLOADS,
    *(STAND_IN_CLICKS, STAND_IN_MANY_CLICKS),
    *(STAND_IN_SCANS, STAND_IN_PHANTOMS),
    SYNTHETIC_TONES,
):
    datasets.register(_dataset.name, _dataset)
datasets.complete()
