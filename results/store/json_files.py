"""Read the small JSON files of a store, and remember the files that were skipped."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from velodrome.foundation.errors import SpecError, StoreError
from velodrome.foundation.typed import parse_json, read_as

T = TypeVar("T")

#: The schema of shards and of questions.
SCHEMA = 1

#: The file with the records of a folder that was packed; those beside it are newer.
PACKED = "all.json"

#: A JSON object, before it is read as one of the kinds in `records`.
Json = Mapping[str, Any]

Report = Callable[[Path, StoreError], None]
"""Called with a file of which something is skipped, and why."""


def read_json(path: Path) -> object:
    """Return the content of a JSON file, or raise a `StoreError`."""
    try:
        return parse_json(path.read_bytes())
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged, it is not JSON: {error}") from error


def checked(kind: type[T], content: object, path: Path, *, report: Report | None = None) -> T:
    """Return the content of a file as ``kind``, or raise a `StoreError`.

    With ``report``, damaged parts that a reader can do without are left out and reported.
    """

    def skip(error: SpecError) -> None:
        if report is None:
            raise error
        report(path, StoreError(f"a part of it is damaged and left out: {_short(error)}"))

    try:
        return read_as(kind, content, "", skip=skip)
    except SpecError as error:
        raise StoreError(f"{path} is damaged: {_short(error)}") from error


def check_schema(found: object, *, what: str) -> None:
    """Raise a `StoreError` unless ``found`` is the schema that this version reads."""
    if type(found) is int and found == SCHEMA:
        return
    if type(found) not in (int, type(None)):
        raise StoreError(f"{what} is damaged: its schema is {found!r:.99}, not a number")
    age = "a newer" if isinstance(found, int) and found > SCHEMA else "an older or unknown"
    raise StoreError(
        f"{what} has store schema {found!r}, this version reads schema {SCHEMA}: "
        f"it was written by {age} velodrome; read it with that version, or run the suite again"
    )


def _short(error: SpecError) -> str:
    return str(error).rstrip(".")


@contextlib.contextmanager
def needed(otherwise: str = "") -> Generator[None, None, None]:
    """Read files that the store cannot do without: errors say how to get them back.

    ``otherwise`` says how to do without them, if that is possible.
    """
    otherwise = otherwise or "or choose another directory and run the suite again"
    try:
        yield
    except StoreError as error:
        raise StoreError(f"{error}. Put the original file back, {otherwise}") from error


def read_records(
    kind: type[T], folder: Path, report: Report, *, pattern: str = "*.json"
) -> dict[str, T]:
    """Return the records of a folder by the names of their files.

    Args:
      kind: What each file holds.
      folder: It need not exist.
      report: Called with each file that is skipped, and why.
      pattern: Which files, as `Path.glob` takes it.
    """
    records: dict[str, T] = {}
    for path in sorted(folder.glob(pattern)):
        if path.name.startswith(".") or path.name == PACKED:
            continue  # another process is writing it; or it holds packed ones
        try:
            records[path.stem] = checked(kind, read_json(path), path)
        except StoreError as error:
            report(path, error)
    return records


def read_packed(kind: type[T], path: Path, report: Report) -> dict[str, T]:
    """Return the records of a file that holds several by name; none if it is missing."""
    records: dict[str, T] = {}
    if not path.is_file():
        return records
    try:
        content = read_json(path)
        if not isinstance(content, dict):
            raise StoreError(f"{path} is damaged: it must be an object")
    except StoreError as error:
        report(path, error)
        return records
    for name, record in content.items():
        try:
            records[name] = checked(kind, record, path)
        except StoreError as error:
            report(path, error)
    return records


@dataclass(frozen=True)
class Problem:
    """A file of the store that was skipped, wholly or in part."""

    path: Path
    reason: str


class Problems:
    """The problems met so far, each once, in one text for each file."""

    def __init__(self) -> None:
        self._found: dict[Path, dict[str, None]] = {}

    def add(self, path: Path, error: StoreError) -> None:
        self._found.setdefault(path, {})[str(error)] = None

    def solved(self, path: Path) -> None:
        self._found.pop(path, None)

    def present(self) -> tuple[Problem, ...]:
        """Return the problems with files that still exist, sorted by path."""
        found = sorted(self._found.items())
        return tuple(Problem(path, "; ".join(why)) for path, why in found if path.exists())
