"""The names that a user's data were added under, in the cache directory, and what they stand for.

This is imported whenever data sets are looked up, so it imports no reader.
"""

from __future__ import annotations

import functools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from velodrome.foundation.errors import DataError, SpecError
from velodrome.foundation.files import atomic_write_json, cache_dir, resolved
from velodrome.foundation.typed import parse_json, read_as
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import Dataset
from velodrome.taskgen.data.own.contents import HUB, Options
from velodrome.taskgen.data.own.record import (
    Reading,
    read_record,
    record_path,
    source_hash,
    stamp_of,
)
from velodrome.taskgen.data.stored import cached_dataset

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Entry:
    """What a name stands for: data at an absolute path, or at ``hf:NAME``."""

    name: str
    path: str


def check_name(name: str) -> None:
    """Raise a `SpecError` unless data may be added under the name."""
    if not _NAME.fullmatch(name):
        raise SpecError("name", name, "at most 64 letters, digits, - and _, such as my-flowers")


def name_of(path: str) -> str:
    """Return the name for data that are given by their path alone."""
    last = path.removeprefix(HUB).rstrip("/").rpartition("/")[2]
    stem = last if path.startswith(HUB) else Path(last).stem
    return re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-_") or "data"


def entry_path(name: str) -> Path:
    """Return where it is kept what a name stands for."""
    return cache_dir() / "data" / "added" / f"{name}.json"


def write_entry(entry: Entry) -> None:
    atomic_write_json(entry_path(entry.name), {"name": entry.name, "path": entry.path})


def read_entry(name: str) -> Entry | None:
    """Return what a name stands for; None if no data were added under it.

    Raises:
      DataError: That is damaged.
    """
    file = entry_path(name)
    if not _NAME.fullmatch(name) or not file.is_file():
        return None
    try:
        entry = read_as(Entry, parse_json(file.read_bytes()), "")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file}, which says where the data {name!r} are, is damaged: {error} Delete it and "
            f"run `velodrome data add {name} PATH` again."
        ) from error
    return entry if entry.name == name else None  # file names may not tell upper from lower case


def names() -> list[str]:
    """Return the names of all data that were added."""
    stems = (path.stem for path in entry_path("any").parent.glob("*.json"))
    # A file that is being written, or was when its writer was killed, has another kind of name.
    return sorted(stem for stem in stems if _NAME.fullmatch(stem))


def find(name: str) -> Dataset | None:
    """Return the data set of a name; None if no data were added under it.

    Raises:
      DataError: The data are gone, have changed since, or their record is damaged; or it is no
        name but the path of a file.
    """
    entry = read_entry(name)
    if entry is None:
        if name.startswith(HUB) or (not name.endswith(".py") and _exists(name)):
            raise _no_name(name)
        return None
    stamps = tuple(map(_quick, (entry_path(name), record_path(entry.path), Path(entry.path))))
    return _open(entry, stamps)


def open_reading(entry: Entry, reading: Reading, arrays: dict[str, Arrays] | None) -> Dataset:
    """Return the data set of a reading; its arrays are read again where the cache lacks them."""

    def build() -> dict[str, Arrays]:
        if arrays is not None:
            return arrays
        from velodrome.taskgen.data.own.read import read  # noqa: PLC0415 - imports pyarrow

        return dict(read(entry.path, reading.options).splits)

    def refuse(split: str, found: str) -> DataError:
        made = ", ".join(f"{name} {version}" for name, version in reading.versions.items())
        return DataError(
            f"the {split} split of {entry.name!r}, read again from {entry.path}, has the content "
            f"hash {found}, but {reading.split_hashes[split]} was recorded with {made}. Install "
            "these versions, or use the data as they are read now: "
            f"{again(entry, reading.options)}."
        )

    return cached_dataset(reading.info(entry.name, entry.path), build, refuse=refuse)


@functools.lru_cache(maxsize=64)
def _open(entry: Entry, stamps: tuple[object, ...]) -> Dataset:
    del stamps  # what has been written since is read again
    reading = read_record(record_path(entry.path)).get(entry.name)
    if reading is None:
        raise DataError(
            f"the record of the data {entry.name!r}, {record_path(entry.path)}, is gone: run "
            f"`velodrome data add {entry.name} {shlex.quote(entry.path)}` again."
        )
    check_unchanged(entry, reading)
    return open_reading(entry, reading, None)


def check_unchanged(entry: Entry, reading: Reading) -> None:
    """Raise a `DataError` if the files of data are gone or have changed since."""
    if not reading.source:
        return
    path = Path(entry.path)
    if not path.exists():
        raise DataError(
            f"the data {entry.name!r} were added from {path}, which is no longer there. Put them "
            f"back, or say where they are: velodrome data add {entry.name} PATH --replace."
        )
    if stamp_of(path) != reading.stamp and source_hash(path) != reading.source:
        raise DataError(
            f"{path} has changed since it was added as {entry.name!r} on {reading.added[:10]}, "
            "and results on other data are not comparable. Restore it, add it under another name, "
            f"or replace the old data: "
            f"{again(entry, reading.options)}."
        )


def again(entry: Entry, options: Options) -> str:
    """Return the command that replaces what was recorded of data."""
    words = ["velodrome data add", entry.name, shlex.quote(entry.path), options.arguments()]
    return " ".join([word for word in words if word] + ["--replace"])


def _no_name(path: str) -> DataError:
    """Return the error for data that are given by their path where a name is needed."""
    likely = name_of(path)
    entry = read_entry(likely)
    where = path if path.startswith(HUB) else str(resolved(path))
    if entry is not None and entry.path == where:
        return DataError(f"{path} was added as {likely!r}: give that name.")
    return DataError(
        f"{path} is no name of a data set, but data: give it one with `velodrome data add {likely} "
        f"{shlex.quote(path)}`."
    )


def _exists(name: str) -> bool:
    try:
        return Path(name).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long for a path, or no such user
        return False


def _quick(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
