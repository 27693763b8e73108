"""The record beside a user's data: what was found in them, and how to see that they changed."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from velodrome.foundation.errors import DataError, SpecError, WriteError
from velodrome.foundation.files import (
    atomic_write_json,
    cache_dir,
    exclusive_directory,
    sha256_file,
)
from velodrome.foundation.typed import parse_json, read_as
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.own.contents import HUB, Options
from velodrome.taskgen.data.own.imagefiles import image_files

SCHEMA = 1
SUFFIX = ".velodrome.json"

#: Seconds to wait for another process; writing a record takes far less.
_PATIENCE = 60.0


@dataclass(frozen=True)
class Reading:
    """What was found when data were added under a name.

    Attributes:
      source: SHA-256 of the file, or of the names and contents of a folder's images; empty
        for data from elsewhere.
      stamp: Changes whenever sizes or times of the files do; quick to compute.
      notes: What was inferred, in words, by what it is about.
      added: The time, in ISO 8601.
      versions: Of the packages that read the data.
      targets: Numbers to predict for each row of a table.
    """

    options: Options
    kind: str
    shape: tuple[int, ...]
    num_classes: int
    vocab_size: int
    dtype: str
    class_names: tuple[str, ...]
    split_sizes: Mapping[str, int]
    split_hashes: Mapping[str, str]
    source: str
    stamp: str
    notes: Mapping[str, str]
    added: str
    versions: Mapping[str, str]
    targets: int = 0

    def info(self, name: str, path: str) -> DatasetInfo:
        """Return the facts about the data set ``name``, which was read from ``path``."""
        return DatasetInfo(
            name=name,
            kind=self.kind,
            licence="the user's own data",
            origin=f"added from {path} on {self.added[:10]}",
            provenance="own",
            shape=self.shape,
            num_classes=self.num_classes,
            vocab_size=self.vocab_size,
            dtype=self.dtype,
            split_sizes=self.split_sizes,
            split_hashes=self.split_hashes,
            class_names=self.class_names,
            targets=self.targets,
        )


@dataclass(frozen=True)
class Record:
    """The content of a record's file: readings of the same data by name."""

    schema: int
    data: Mapping[str, Reading]


def record_paths(path: str) -> tuple[Path, Path]:
    """Return where the record of data may lie: beside them, else in the cache directory."""
    digest = hashlib.sha256(path.encode()).hexdigest()[:32]
    elsewhere = cache_dir() / "data" / "records" / f"{digest}.json"
    file = Path(path)
    beside = file.with_name(file.name + SUFFIX)
    return (elsewhere if path.startswith(HUB) else beside), elsewhere


def record_path(path: str) -> Path:
    """Return where the record of data lies, or would.

    One in the cache directory goes first: it was written where that beside the data could not be.
    """
    beside, elsewhere = record_paths(path)
    return elsewhere if elsewhere.is_file() else beside


def read_record(file: Path) -> dict[str, Reading]:
    """Return the readings of a record by name; none if there is no such file.

    Raises:
      DataError: It is damaged, or of another version.
    """
    try:
        record = read_as(Record, parse_json(file.read_bytes()), "")
        if record.schema != SCHEMA:
            raise SpecError("schema", record.schema, str(SCHEMA))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(
            f"the record {file} is damaged: {error} Delete it and add the data again "
            "(`velodrome data add NAME PATH`)."
        ) from error
    return dict(record.data)


def write_reading(path: str, name: str, reading: Reading | None) -> Path:
    """Put a reading under a name into the record of data (None: remove it); return its file.

    Where nothing can be written beside the data, the record goes into the cache directory. Another
    process that writes one is waited for, so that no reading is lost.
    """
    with exclusive_directory(cache_dir() / "data" / "records", patience=_PATIENCE):
        return _write_reading(path, name, reading)


def _write_reading(path: str, name: str, reading: Reading | None) -> Path:
    file = record_path(path)
    readings = read_record(file)
    readings.pop(name, None)
    if reading is not None:
        readings[name] = reading
    content = dataclasses.asdict(Record(SCHEMA, dict(sorted(readings.items()))))
    beside, elsewhere = record_paths(path)
    try:
        # In the cache directory an empty one stays: it hides one that cannot be written.
        if readings or file != beside:
            atomic_write_json(file, content)
        else:
            file.unlink(missing_ok=True)
    except (WriteError, OSError):
        if file == elsewhere:
            raise
        file = elsewhere
        atomic_write_json(file, content)
    return file


def stamp_of(path: Path) -> str:
    """Return what changes when files are written, without reading them."""
    if not path.is_dir():
        return _stamp(path)
    lines = "".join(f"{_relative(file, path)} {_stamp(file)}\n" for file in image_files(path))
    return hashlib.sha256(lines.encode()).hexdigest()


def source_hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's images with their names."""
    if not path.is_dir():
        return sha256_file(path)
    lines = "".join(f"{_relative(file, path)} {sha256_file(file)}\n" for file in image_files(path))
    return hashlib.sha256(lines.encode()).hexdigest()


def _relative(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _stamp(file: Path) -> str:
    found = file.stat()
    return f"{found.st_size} {found.st_mtime_ns}"
