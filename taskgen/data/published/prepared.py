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

from velodrome.foundation.errors import DataError
from velodrome.foundation.files import cache_dir
from velodrome.taskgen.data.info import (
    SPLITS,
    Arrays,
    Dataset,
    DatasetInfo,
    check_split,
    hash_arrays,
)
from velodrome.taskgen.data.published.recipes import how_to_get
from velodrome.taskgen.data.stored import array_names

SCHEMA = 1

_KEYS = {"form", "files", "published", "notes", "splits", "prepared", "versions"}
_SPLIT_KEYS = {"size", "hash", "bytes"}


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
      :class:`~velodrome.taskgen.data.published.readers.base.Reader`; ``splits``: {split: {size, hash, bytes}};
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
        schema = record["schema"]
        if schema == SCHEMA:
            _check_keys(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error!r}). {advice}") from error
    if schema != SCHEMA:
        raise DataError(
            f"{path} has the schema {schema}, not {SCHEMA}: it is of another version of "
            f"velodrome. {advice}"
        )
    return record


def _check_keys(record: Mapping[str, Any]) -> None:
    """Raises unless a record has all that is read of it."""
    _need(record, _KEYS)
    for split in SPLITS:
        _need(record["splits"][split], _SPLIT_KEYS)


def _need(part: Mapping[str, Any], keys: set[str]) -> None:
    lacking = sorted(keys - set(part))
    if lacking:
        raise ValueError(f"it lacks {', '.join(lacking)}")


class PublishedDataset(Dataset):
    """A published data set, whose arrays are those that were prepared on this machine.

    A damaged record fails only what needs the arrays: facts are known without it.

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
        """Facts, with content hashes if the data are prepared and their record is whole."""
        try:
            record = read_record(self.facts.name)
        except DataError:
            return self.facts
        return self.facts if record is None else _with_record(self.facts, record["splits"])

    def _load(self, split: str) -> Arrays:
        check_split(self.facts.name, split)
        record = read_record(self.facts.name)
        if record is None:
            raise missing(self.facts, split)
        return load_prepared(prepared_dir(self.facts.name), self.facts, split, record["splits"])


def missing(facts: DatasetInfo, split: str) -> DataError:
    """Returns the error for data that are not prepared, or whose record is damaged.

    It says all that one can do.
    """
    try:
        read_record(facts.name)
    except DataError as error:
        return error
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
