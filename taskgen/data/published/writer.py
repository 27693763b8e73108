"""Writes the arrays of a split, a chunk of examples at a time; goes on where it was stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import DataError, WriteError
from velodrome.foundation.files import atomic_path, atomic_write_json
from velodrome.taskgen.data.info import Arrays
from velodrome.taskgen.data.published.readers.base import SplitReader

CHUNK = 1024
"""Examples between two notes of how far the writing has got."""

_DONE = "done.json"


def write_split(
    folder: Path,
    reader: SplitReader,
    *,
    source: Any,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes a split as ``.npy`` files.

    A folder that an earlier call left unfinished is gone on with, if it was of the same source.

    Args:
      folder: Where to.
      reader: What to write.
      source: What identifies the source, as JSON.
      progress: Called with (examples so far, examples in all).

    Raises:
      DataError: An example cannot be decoded, or the arrays do not fit together.
      WriteError: There is no room.
    """
    identity = content_hash({"source": source, "count": reader.count})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        done = _resume(folder, identity)
        while done["examples"] < reader.count:
            start = done["examples"]
            stop = min(reader.count, start + CHUNK)
            _append(folder, done, reader.read(start, stop))
            done["examples"] = stop
            # The bytes are on disk before the note says so.
            atomic_write_json(folder / _DONE, done)
            if progress is not None:
                progress(stop, reader.count)
        for name, array in done["arrays"].items():
            _finish(folder, name, array)
        (folder / _DONE).unlink()
    except OSError as error:
        raise WriteError(
            f"cannot write {folder}: {error.strerror or error}. Make room, or set VELODROME_CACHE "
            "to a directory with more, and run the command again; it goes on from here."
        ) from error


def _resume(folder: Path, identity: str) -> dict[str, Any]:
    try:
        done = json.loads((folder / _DONE).read_text())
        if done["identity"] == identity:
            return done
    except (FileNotFoundError, ValueError, KeyError):
        pass  # nothing was begun, or it cannot be known what
    for path in folder.iterdir():
        path.unlink()
    return {"identity": identity, "examples": 0, "arrays": {}}


def _append(folder: Path, done: dict[str, Any], arrays: Arrays) -> None:
    if "offsets" in arrays:
        known = done["arrays"].get("tokens", {"length": 0})["length"]
        first = 0 if done["examples"] == 0 else 1  # the last chunk ended with this chunk's first
        arrays = {**arrays, "offsets": arrays["offsets"][first:] + known}
    for name, array in arrays.items():
        entry = {"dtype": array.dtype.str, "shape": list(array.shape[1:]), "length": 0}
        kept = done["arrays"].setdefault(name, entry)
        if {**kept, "length": 0} != entry:
            raise DataError(
                f"array {name!r} of {folder} is of {array.dtype} {array.shape[1:]} in one place "
                f"and of {kept['dtype']} {kept['shape']} in another; the source is damaged."
            )
        with _open_at(folder / f"{name}.raw", kept["length"] * _row_bytes(kept)) as file:
            file.write(np.ascontiguousarray(array).data)
            file.flush()
            os.fsync(file.fileno())
        kept["length"] += len(array)


def _open_at(path: Path, size: int) -> BinaryIO:
    """Opens a file to append to, without what was written after the last note."""
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(size)
    file.seek(size)
    return file


def _row_bytes(entry: dict[str, Any]) -> int:
    return int(np.dtype(entry["dtype"]).itemsize * np.prod(entry["shape"], dtype=np.int64))


def _finish(folder: Path, name: str, entry: dict[str, Any]) -> None:
    """Makes the ``.npy`` file of an array out of its bytes."""
    raw, target = folder / f"{name}.raw", folder / f"{name}.npy"
    if not raw.exists() and target.exists():
        return  # done by an earlier call
    shape = (entry["length"], *entry["shape"])
    array = np.memmap(raw, entry["dtype"], "r", shape=shape) if np.prod(shape) else None
    with atomic_path(target) as temporary, temporary.open("wb") as file:
        description = {"descr": entry["dtype"], "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(file, description)
        rows = max(1, (1 << 24) // max(1, _row_bytes(entry)))
        for at in range(0, shape[0] if array is not None else 0, rows):
            assert array is not None
            file.write(np.ascontiguousarray(array[at : at + rows]).data)
    del array
    raw.unlink()
