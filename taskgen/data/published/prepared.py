"""Prepared data sets: decoded once, memory-mapped, with their content hashes on record.

The folder of a prepared data set holds one folder a split with ``.npy`` files, and
``record.json``, which is written last: if it is there, the data are complete.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import DataError
from velodrome.foundation.files import cache_dir
from velodrome.taskgen.data.arrays import Arrays, hash_arrays, map_arrays
from velodrome.taskgen.data.info import SPLITS, Dataset, DatasetInfo, check_split
from velodrome.taskgen.data.published.readers.vocabulary import decode_workload
from velodrome.taskgen.data.published.recipes import RECIPES, WORKLOAD, how_to_get
from velodrome.taskgen.data.published.sources import FileFacts

SCHEMA = 1


@dataclass(frozen=True)
class SplitRecord:
    """A prepared split: number of examples, content hash, and bytes of the arrays."""

    size: int
    hash: str
    bytes: int


@dataclass(frozen=True)
class Record:
    """The record that preparing a data set leaves.

    Attributes:
      form: See :class:`~velodrome.taskgen.data.published.readers.base.Reader`; ``files``,
        ``published`` and ``notes`` likewise.
      splits: By name.
      prepared: The time, in ISO 8601.
      versions: Versions of the packages that decided the arrays.
    """

    form: str
    files: Mapping[str, FileFacts]
    published: bool | None
    notes: Mapping[str, str]
    splits: Mapping[str, SplitRecord]
    prepared: str
    versions: Mapping[str, str]

    def to_json(self, name: str) -> dict[str, object]:
        """Return what is written to ``record.json`` of the data set ``name``."""
        return {"schema": SCHEMA, "name": name, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Record:
        """Read what :meth:`to_json` returned; raise TypeError or KeyError if it is not that."""
        known = {key: value for key, value in found.items() if key not in ("schema", "name")}
        known["splits"] = {split: SplitRecord(**found["splits"][split]) for split in SPLITS}
        known["files"] = {name: FileFacts(**file) for name, file in found["files"].items()}
        return cls(**known)


def prepared_dir(name: str) -> Path:
    """Return where the prepared data set ``name`` is kept, whether it is there or not."""
    return cache_dir() / "data" / "prepared" / name


def vocabulary_path(name: str) -> Path:
    """Return where the SentencePiece model is kept that a data set was prepared with."""
    return prepared_dir(name) / "vocabulary.model"


def record_path(name: str) -> Path:
    """Return where the record of a prepared data set is kept."""
    return prepared_dir(name) / "record.json"


def read_record(name: str) -> Record | None:
    """Return what was recorded when the data set was prepared, or None if it is not.

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
def _read_record(path: Path, modified: int) -> Record:
    del modified  # a record that has changed is read again
    advice = f"Delete {path.parent} and prepare the data set again."
    try:
        found = json.loads(path.read_text())
        schema = found["schema"]
        if schema == SCHEMA:
            return Record.from_json(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error!r}). {advice}") from error
    raise DataError(
        f"{path} has the schema {schema}, not {SCHEMA}: it is of another version of velodrome. "
        f"{advice}"
    )


class PublishedDataset(Dataset):
    """A published data set, whose arrays are those that were prepared on this machine.

    A damaged record fails only what needs the arrays: ``facts`` are known without it.
    """

    facts: DatasetInfo

    def __init__(self, facts: DatasetInfo):
        put = object.__setattr__  # the class is frozen
        put(self, "facts", facts)
        put(self, "load", self._load)
        put(self, "verified", True)
        put(self, "decode", self._decode if RECIPES[facts.name].vocabulary == WORKLOAD else None)

    @property
    # A property in place of the field: the record is read at each use.
    def info(self) -> DatasetInfo:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Facts; with sizes and content hashes if the data are prepared and the record is whole."""
        try:
            record = read_record(self.facts.name)
        except DataError:
            return self.facts
        if record is None:
            return self.facts
        return dataclasses.replace(
            self.facts,
            split_sizes={name: split.size for name, split in record.splits.items()},
            split_hashes={name: split.hash for name, split in record.splits.items()},
        )

    def _load(self, split: str) -> Arrays:
        check_split(self.facts.name, split)
        record = read_record(self.facts.name)
        if record is None:
            raise missing(self.facts, split)
        return _load_prepared(self.facts, split, record.splits[split].hash)

    def _decode(self, tokens: Iterable[int]) -> str:
        name = self.facts.name
        model = vocabulary_path(name)
        if not model.is_file():
            raise DataError(
                f"the vocabulary of {name} is not in {model.parent}, so its tokens are no text: "
                f"copy the model there as {model.name}, or prepare the data set again."
            )
        return decode_workload(model, name, tokens)


def missing(facts: DatasetInfo, split: str) -> DataError:
    """Return the error for data that are not prepared, or whose record is damaged."""
    try:
        read_record(facts.name)
    except DataError as error:
        return error
    return DataError(
        f"the {split!r} split of {facts.name!r} is not here: prepare it with "
        f"`{how_to_get(facts.name)}` (`velodrome data status {facts.name}` says more). Without "
        "the data: `--data stand-in` runs a suite on generated data, if there are some for it, and "
        "`velodrome sample --data built-in` samples tasks on real data that is here."
    )


def _load_prepared(info: DatasetInfo, split: str, recorded: str) -> Arrays:
    folder = prepared_dir(info.name) / split
    advice = f"Delete {folder.parent} and run `velodrome data prepare {info.name}` again."
    try:
        arrays = map_arrays(folder, info.array_names)
    except (OSError, ValueError, EOFError) as error:  # what numpy raises for damaged files
        raise DataError(f"the prepared data in {folder} are damaged: {error}. {advice}") from error
    files = [(folder / f"{name}.npy").stat() for name in arrays]
    stamp = tuple((file.st_size, file.st_mtime_ns) for file in files)
    found = _checked_hash(folder, tuple(arrays), stamp)
    if found != recorded:
        raise DataError(
            f"the prepared data in {folder} have the content hash {found}, but {recorded} was "
            f"recorded when they were prepared. {advice}"
        )
    return arrays


@functools.lru_cache(maxsize=64)
def _checked_hash(folder: Path, names: tuple[str, ...], stamp: tuple[tuple[int, int], ...]) -> str:
    del stamp  # files are hashed once a process, unless their sizes or times change
    return hash_arrays(map_arrays(folder, names))
