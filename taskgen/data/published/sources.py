"""Original files of published data sets: finding them, and telling whether they are genuine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import DataError
from velodrome.foundation.files import sha256_file


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
    name: str, directory: Path, files: Sequence[RawFile], wanted: Sequence[str]
) -> tuple[dict[str, Path] | None, dict[str, dict[str, Any]], bool | None]:
    """Finds original files in a directory or in one right below it, compressed with gzip or not.

    Args:
      name: The data set, whose folder is preferred to others.
      directory: Where to look.
      files: The files as published.
      wanted: Names of the files without ``.gz``.

    Returns:
      Their paths by name (None if not one of them is there); what to record about them; and
      whether they are, byte for byte, the published ones (None for unpacked files, whose hashes
      were not published).

    Raises:
      DataError: Some of them are missing, or several folders have files of these names.
    """
    folder, paths = _find(name, directory, wanted)
    if not paths:
        return None, {}, None
    missing = [file for file in wanted if file not in paths]
    if missing:
        raise DataError(
            f"{folder} has {', '.join(path.name for path in paths.values())}, but lacks "
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
    if not all(compared):
        return False
    return True if compared and len(compared) == len(record) else None


def _find(name: str, directory: Path, wanted: Sequence[str]) -> tuple[Path, dict[str, Path]]:
    """Returns the folder that has files of a data set, and those that it has of the wanted ones."""
    here = _files_in(directory, wanted)
    if here:
        return directory, here
    folders = sorted(path for path in directory.iterdir() if path.is_dir())
    found = {folder: paths for folder in folders if (paths := _files_in(folder, wanted))}
    # Data sets name their files alike: those of MNIST are those of Fashion-MNIST too.
    named = [folder for folder in found if _plain(folder.name) == _plain(name)]
    if len(found) > 1 and len(named) != 1:
        raise DataError(
            f"several folders in {directory} have files of the names that {name} has: "
            f"{', '.join(folder.name for folder in found)}. Give the right one of them."
        )
    if not found:
        return directory, {}
    folder = (named or list(found))[0]
    return folder, found[folder]


def _files_in(folder: Path, wanted: Sequence[str]) -> dict[str, Path]:
    found = {}
    for name in wanted:
        for candidate in (folder / f"{name}.gz", folder / name):
            if candidate.is_file():
                found.setdefault(name, candidate)
    return found


def _plain(name: str) -> str:
    """A name as "fashionmnist", however it is written: ``fashion_mnist``, ``Fashion-MNIST``."""
    return "".join(letter for letter in name.lower() if letter.isalnum())
