"""Prepared data sets: decoded once, memory-mapped, with their content hashes on record.

A folder of a prepared data set holds one folder a split with ``.npy`` files, and ``record.json``,
which is written last: where it is, the data are complete.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foundation.errors import DataError
from foundation.files import cache_dir
from taskgen.data.info import SPLITS, Arrays, Dataset, DatasetInfo, check_split, hash_arrays
from taskgen.data.published.recipes import how_to_get
from taskgen.data.stored import array_names

SCHEMA = 1


def prepared_dir(name: str) -> Path:
    """Returns where the prepared data set ``name`` is kept, whether it is there or not."""
    return cache_dir() / "data" / "prepared" / name


def record_path(name: str) -> Path:
    """Returns where the record of a prepared data set is kept."""
    return prepared_dir(name) / "record.json"


def read_record(name: str) -> Mapping[str, Any] | None:
    """Returns what was recorded when the data set was prepared, or None if it is not.

    Returns:
      ``form``, ``files``, ``published``, ``notes``: see
      :class:`~taskgen.data.published.reader.Reader`; ``splits``: {split: {size, hash, bytes}};
      ``prepared``: time; ``versions``.

    Raises:
      DataError: The record is damaged, or of another version.
    """
    path = record_path(name)
    try:
        modified = path.stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _read_record(path, modified)


@functools.lru_cache(maxsize=64)
def _read_record(path: Path, modified: int) -> Mapping[str, Any]:
    del modified  # a record that has changed is read again
    advice = f"Delete {path.parent} and prepare the data set again."
    try:
        record = json.loads(path.read_text())
        complete = all(set(record["splits"][split]) >= {"size", "hash"} for split in SPLITS)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error!r}). {advice}") from error
    if record.get("schema") != SCHEMA or not complete:
        raise DataError(
            f"{path} has the schema {record.get('schema')}, not {SCHEMA}: it is of another "
            f"version of velodrome. {advice}"
        )
    return record


class PublishedDataset(Dataset):
    """A published data set, whose arrays are those that were prepared on this machine.

    Args:
      facts: What is known of it without having it. ``info`` adds what was recorded at the
        preparation: sizes and content hashes.
    """

    def __init__(self, facts: DatasetInfo):
        put = object.__setattr__  # the class is frozen
        put(self, "facts", facts)
        put(self, "load", self._load)
        put(self, "verified", True)

    facts: DatasetInfo

    @property
    def info(self) -> DatasetInfo:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Facts, with content hashes if the data are prepared."""
        record = read_record(self.facts.name)
        return self.facts if record is None else _with_record(self.facts, record["splits"])

    def _load(self, split: str) -> Arrays:
        check_split(self.facts.name, split)
        record = read_record(self.facts.name)
        if record is None:
            raise missing(self.facts, split)
        return load_prepared(prepared_dir(self.facts.name), self.facts, split, record["splits"])


def missing(facts: DatasetInfo, split: str) -> DataError:
    """Returns the error for data that are not prepared: it says all that one can do."""
    return DataError(
        f"the {split!r} split of {facts.name!r} is not here: prepare it with "
        f"`{how_to_get(facts.name)}` (`velodrome data status {facts.name}` says more). Without "
        "the data: `--data stand-in` runs a suite on generated data, and `velodrome sample --data "
        "built-in` samples tasks on real data that is here."
    )


def load_prepared(
    directory: Path, info: DatasetInfo, split: str, recorded: Mapping[str, Any]
) -> Arrays:
    """Maps the arrays of a split, and compares them with the recorded hash.

    Args:
      directory: Folder of the data set.
      info: Facts about it.
      split: "train" or "heldout".
      recorded: ``splits`` of the record.

    Raises:
      DataError: Files are missing, or are not the recorded ones.
    """
    folder = directory / split
    advice = f"Delete {directory} and run `velodrome data prepare {info.name}` again."
    try:
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in array_names(info)
        }
    except (OSError, ValueError, EOFError) as error:  # what numpy raises for damaged files
        raise DataError(f"the prepared data in {folder} are damaged: {error}. {advice}") from error
    found = _checked_hash(folder, tuple(sorted(arrays)), _stamp(folder, arrays))
    if found != recorded[split]["hash"]:
        raise DataError(
            f"the prepared data in {folder} have the content hash {found}, but "
            f"{recorded[split]['hash']} was recorded when they were prepared. {advice}"
        )
    return arrays


def _stamp(folder: Path, arrays: Arrays) -> tuple[tuple[int, int], ...]:
    found = [(folder / f"{name}.npy").stat() for name in sorted(arrays)]
    return tuple((file.st_size, file.st_mtime_ns) for file in found)


@functools.lru_cache(maxsize=64)
def _checked_hash(folder: Path, names: tuple[str, ...], stamp: tuple[tuple[int, int], ...]) -> str:
    """Hashes files once a process, unless they change."""
    del stamp
    return hash_arrays({name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names})


def _with_record(facts: DatasetInfo, splits: Mapping[str, Any]) -> DatasetInfo:
    return dataclasses.replace(
        facts,
        split_sizes={split: entry["size"] for split, entry in splits.items()},
        split_hashes={split: entry["hash"] for split, entry in splits.items()},
    )
