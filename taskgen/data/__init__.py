"""Data sets, and sources of batches from them.

Importing this is light: arrays are built, and jax is imported, when a data set is opened.
"""

from __future__ import annotations

from velodrome.foundation.registry import Registry
from velodrome.taskgen.data import builtin, published, standin
from velodrome.taskgen.data.info import Dataset, DatasetInfo, check_dataset, hash_arrays

__all__ = ["Dataset", "DatasetInfo", "datasets", "hash_arrays"]

#: Every data set by name; other packages add theirs by the entry point ``velodrome.datasets``.
datasets: Registry[Dataset] = Registry(
    "data set",
    group="velodrome.datasets",
    check=check_dataset,
    definition=lambda dataset: dataset.load,
)

for _dataset in (*builtin.DATASETS, *published.DATASETS, *standin.DATASETS):
    datasets.register(_dataset.name, _dataset)
