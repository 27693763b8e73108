"""Whether the arrays of a data set are what it declares; the first bad example is named."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from velodrome.foundation.errors import DataError, VelodromeError
from velodrome.taskgen.data.arrays import Arrays, hash_arrays
from velodrome.taskgen.data.info import SPLITS, Dataset, DatasetInfo, kind_of
from velodrome.taskgen.data.kinds.checks import SplitError
from velodrome.taskgen.data.published.recipes import how_to_get


def verify(dataset: Dataset) -> None:
    """Load all splits, and compare them with every declared fact.

    Raises:
      DataError: A split cannot be loaded, or is not what the data set declares, or no hash is
        declared: the message then has the hashes to declare.
    """
    require_hashes(
        dataset, {split: verify_split(dataset, split, load(dataset, split)) for split in SPLITS}
    )


def verify_split(dataset: Dataset, split: str, arrays: Arrays) -> str:
    """Compare a split with the declared facts and hash, and return its hash.

    Raises:
      DataError: It is something else; the message names the first example that is wrong.
    """
    verify_facts(dataset.info, split, arrays)
    return verify_hash(dataset, split, arrays)


def load(dataset: Dataset, split: str) -> Arrays:
    """Load a split; whatever its loader raises becomes a `DataError`."""
    try:
        arrays = dataset.load(split)
    except VelodromeError:
        raise
    except Exception as error:  # a user's loader may raise anything
        raise DataError(
            f"loading the {split} split of {dataset.name!r} failed: {type(error).__name__}: {error}"
        ) from error
    if isinstance(arrays, Mapping):
        return dict(arrays)
    raise DataError(
        f"loading the {split} split of {dataset.name!r} gave {type(arrays).__name__}, not a "
        f"mapping with {' and '.join(map(repr, dataset.info.array_names))}."
    )


def verify_facts(info: DatasetInfo, split: str, arrays: Arrays) -> None:
    """Compare a split with everything but its hash; the error names the first bad example."""
    try:
        _verify_names(info, arrays)
        size = kind_of(info.kind).verify(info, arrays)
        declared = info.split_sizes.get(split, size)
        if size != declared:
            raise SplitError(f"has {size:,} {unit(info)}, but {declared:,} are declared")
    except SplitError as error:
        raise DataError(f"the {split} split of {info.name!r} {error}.") from None


def verify_hash(dataset: Dataset, split: str, arrays: Arrays) -> str:
    """Return the content hash of a split; raise a `DataError` if another one is declared."""
    recorded = dataset.info.split_hashes.get(split)
    if dataset.verified and recorded:
        return recorded
    found = hash_arrays(arrays)
    if recorded not in (None, found):
        raise DataError(
            f"the {split!r} split of {dataset.name!r} has the content hash {found}, but {recorded} "
            "is recorded for it; load the recorded data, or give the changed data another name."
        )
    return found


def require_hashes(dataset: Dataset, found: Mapping[str, str]) -> None:
    """Raise a `DataError` that says what to declare, unless each split has a declared hash."""
    if problem := hash_problem(dataset):
        raise DataError(f"{problem} Declare what it loads now: split_hashes={dict(found)}.")


def hash_problem(dataset: Dataset) -> str:
    """Return what is wrong if a split has no declared hash, or the empty string.

    Published data have hashes once they are prepared.
    """
    if dataset.info.content_hash or how_to_get(dataset.name):
        return ""
    return (
        f"{dataset.name!r} has no declared content hash of each split, so results cannot name it."
    )


def _verify_names(info: DatasetInfo, arrays: Arrays) -> None:
    if sorted(arrays) != sorted(info.array_names):
        raise SplitError(f"has the arrays {sorted(arrays)}, but needs {sorted(info.array_names)}")
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise SplitError(f"has a {type(array).__name__} as {name!r}, not an array of numpy")


def unit(info: DatasetInfo) -> str:
    """Return what the examples of a data set are, in the plural."""
    return kind_of(info.kind).unit(info)
