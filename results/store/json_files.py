"""The small JSON files of a store: read with errors that say what to do, or skipped and told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import StoreError


def read_json(path: Path) -> Any:
    """Returns the content of a JSON file.

    Raises:
      StoreError: it cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged, it is not JSON: {error}") from error


def read_object(path: Path) -> dict[str, Any]:
    """Returns the content of a file that holds a JSON object.

    Raises:
      StoreError: it cannot be read, is not JSON, or holds something else.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise StoreError(
            f"{path} is damaged: it holds a {type(content).__name__}, not a JSON object"
        )
    return content


def needed(read: Callable[[Path], Any], path: Path) -> Any:
    """Reads a file that the store cannot do without; its errors say what to do."""
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
    """Returns the JSON objects of a folder by the names of their files.

    Args:
      folder: where they are; it need not exist.
      report: called with each file that is skipped, and why.
      pattern: which files, as `Path.glob` takes it.
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
