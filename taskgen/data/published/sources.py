"""Original files of published data sets: finding them, and telling whether they are genuine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.errors import DataError
from foundation.files import sha256_file


@dataclass(frozen=True)
class RawFile:
    """A file as it was published.

    Attributes:
      url: Where it is fetched from.
      size: Bytes.
      sha256: 64 hexadecimal digits.
    """

    url: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]


def find_files(
    directory: Path, files: Sequence[RawFile], wanted: Sequence[str]
) -> tuple[dict[str, Path] | None, dict[str, dict[str, Any]], bool | None]:
    """Finds original files in a directory or right below it, compressed with gzip or not.

    Args:
      directory: Where to look.
      files: The files as published.
      wanted: Names of the files without ``.gz``.

    Returns:
      Their paths by name (None if not one of them is there); what to record about them; and
      whether they are, byte for byte, the published ones (None for unpacked files, whose hashes
      were not published).

    Raises:
      DataError: Some of them are missing.
    """
    paths = {name: path for name in wanted if (path := _find(directory, name)) is not None}
    if not paths:
        return None, {}, None
    missing = [name for name in wanted if name not in paths]
    if missing:
        raise DataError(
            f"{directory} has {', '.join(path.name for path in paths.values())}, but lacks "
            f"{', '.join(missing)}. Put all files of the data set there."
        )
    record = {path.name: describe_file(path) for path in paths.values()}
    return paths, record, is_published(record, files)


def describe_file(path: Path) -> dict[str, Any]:
    """Returns what is recorded about a file that was read: its size and SHA-256."""
    return {"bytes": path.stat().st_size, "sha256": sha256_file(path)}


def is_published(record: Mapping[str, Mapping[str, Any]], files: Sequence[RawFile]) -> bool | None:
    """Returns whether recorded files are the published ones; None if there is nothing to compare.

    Args:
      record: File name to what :func:`describe_file` returned.
      files: The files as published.
    """
    known = {file.name: file.sha256 for file in files}
    compared = [entry["sha256"] == known[name] for name, entry in record.items() if name in known]
    if len(compared) < len(record) or not compared:
        return None
    return all(compared)


def _find(directory: Path, name: str) -> Path | None:
    for folder in (directory, *sorted(path for path in directory.iterdir() if path.is_dir())):
        for candidate in (folder / f"{name}.gz", folder / name):
            if candidate.is_file():
                return candidate
    return None
