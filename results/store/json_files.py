"""Read the small JSON files of a store, and remember the files that were skipped."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from velodrome.foundation.errors import StoreError

T = TypeVar("T")

#: A JSON object as it was read: the code that uses a value checks it.
Json = Mapping[str, Any]


def read_json(path: Path) -> object:
    """Return the content of a JSON file, or raise a `StoreError`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged, it is not JSON: {error}") from error


def read_object(path: Path) -> dict[str, Any]:
    """Return the content of a file that holds a JSON object, or raise a `StoreError`."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise StoreError(
            f"{path} is damaged: it holds a {type(content).__name__}, not a JSON object"
        )
    return content


def needed(read: Callable[[Path], T], path: Path) -> T:
    """Read a file that the store cannot do without; errors say how to get it back."""
    try:
        return read(path)
    except StoreError as error:
        raise StoreError(
            f"{error}. Put the original file back, or choose another directory and run the suite "
            "again"
        ) from error


def read_records(
    folder: Path, report: Callable[[Path, StoreError], None], *, pattern: str = "*.json"
) -> dict[str, dict[str, Any]]:
    """Return the JSON objects of a folder by the names of their files.

    Args:
      folder: It need not exist.
      report: Called with each file that is skipped, and why.
      pattern: Which files, as `Path.glob` takes it.
    """
    records: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob(pattern)):
        if path.name.startswith("."):
            continue  # another process is writing it
        try:
            records[path.stem] = read_object(path)
        except StoreError as error:
            report(path, error)
    return records


@dataclass(frozen=True)
class Problem:
    """A file of the store that was skipped."""

    path: Path
    reason: str


class Problems:
    """The problems met so far, at most one for each file."""

    def __init__(self) -> None:
        self._found: dict[Path, Problem] = {}

    def add(self, path: Path, error: StoreError) -> None:
        self._found[path] = Problem(path, str(error))

    def solved(self, path: Path) -> None:
        self._found.pop(path, None)

    def present(self) -> tuple[Problem, ...]:
        """Return the problems with files that still exist, sorted by path."""
        return tuple(self._found[path] for path in sorted(self._found) if path.exists())
