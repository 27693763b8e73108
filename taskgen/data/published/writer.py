"""Write the arrays of a split, a chunk of examples at a time; resume where it was interrupted."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import DataError, WriteError
from velodrome.foundation.files import atomic_write_json
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.published.readers.base import SplitReader

CHUNK = 1024
"""Examples between two notes of how far the writing has got."""

_NOTE = "done.json"
_FORMAT = 2  # raised when unfinished files of an older version cannot be resumed


def write_split(
    folder: Path,
    reader: SplitReader,
    *,
    source: object,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a split as ``.npy`` files; resume what an earlier call left, if of the same source.

    Args:
      source: What identifies the source, as JSON.
      progress: Called with (examples so far, examples in all).

    Raises:
      DataError: An example cannot be decoded, or the arrays do not fit together.
      WriteError: There is no room.
    """
    identity = content_hash({"source": source, "count": reader.count, "format": _FORMAT})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        done, sizes = _resume(folder, identity)
        while done < reader.count:
            stop = min(reader.count, done + CHUNK)
            arrays = reader.read(done, stop)
            if done:
                arrays = {name: _following(name, arrays, sizes) for name in arrays}
            for name, array in arrays.items():
                sizes[name] = _append(folder / f"{name}.npy", sizes.get(name, 0), array)
            done = stop
            # The bytes are on disk before the note says so.
            note = {"identity": identity, "examples": done, "sizes": sizes}
            atomic_write_json(folder / _NOTE, note)
            if progress is not None:
                progress(done, reader.count)
        for name, size in sizes.items():
            _finish(folder / f"{name}.npy", size)
        (folder / _NOTE).unlink()
    except OSError as error:
        raise WriteError(
            f"cannot write {folder}: {error.strerror or error}. Make room, or set VELODROME_CACHE "
            "to a directory with more, and run the command again; it resumes here."
        ) from error


def _following(name: str, arrays: Arrays, sizes: Mapping[str, int]) -> np.ndarray:
    """Return an array of a chunk that is not the first: offsets go on from what was written."""
    array = arrays[name]
    counted = "tokens" if name == "offsets" else name.removesuffix("_offsets")
    if counted == name:
        return array
    # The first is the last of the chunk before: the number of rows so far.
    rows = arrays[counted]
    width = rows.itemsize * math.prod(rows.shape[1:])
    header = len(_header(rows.dtype, (0, *rows.shape[1:])))
    return array[1:] + (sizes[counted] - header) // width


def _resume(folder: Path, identity: str) -> tuple[int, dict[str, int]]:
    """Return the number of examples that are written, and the sizes of the files with these."""
    try:
        note = json.loads((folder / _NOTE).read_text())
        if note["identity"] == identity:
            return note["examples"], note["sizes"]
    except (FileNotFoundError, ValueError, KeyError):
        pass  # nothing was begun, or nobody knows what
    for path in folder.iterdir():
        path.unlink()
    return 0, {}


def _header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """Return the beginning of a ``.npy`` file; numpy leaves room for any number of rows."""
    buffer = io.BytesIO()
    description = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(buffer, description)
    return buffer.getvalue()


def _append(path: Path, size: int, array: np.ndarray) -> int:
    """Append rows to the first ``size`` bytes of a file, and return its new size."""
    header = _header(array.dtype, (0, *array.shape[1:]))
    # Not a memory map: where the disk is full, writing to one kills the process.
    with path.open("r+b" if size else "w+b") as file:
        if size and file.read(len(header)) != header:
            raise DataError(
                f"the examples in {path} are not all of {array.dtype} {array.shape[1:]}; the "
                "source is damaged."
            )
        file.truncate(size)  # without what was written after the last note
        file.seek(0, os.SEEK_END)
        file.write(b"" if size else header)
        file.write(np.ascontiguousarray(array).data)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def _finish(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
        rows = (size - file.tell()) // (dtype.itemsize * math.prod(shape[1:]))
        file.seek(0)
        file.write(_header(dtype, (rows, *shape[1:])))
        file.flush()
        os.fsync(file.fileno())
