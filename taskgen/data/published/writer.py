"""Writes the arrays of a split, a chunk of examples at a time; resumes where it was interrupted."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import DataError, WriteError
from velodrome.foundation.files import atomic_write_json
from velodrome.taskgen.data.info import Arrays
from velodrome.taskgen.data.published.readers.base import SplitReader

CHUNK = 1024
"""Examples between two notes of how far the writing has got."""

_NOTE = "done.json"
_FORMAT = 2  # raised when unfinished files of an older version cannot be resumed


@dataclass
class _Column:
    """An array that is being written: the type and shape of an example, and how many there are."""

    dtype: str
    shape: list[int]
    length: int = 0

    @property
    def header(self) -> bytes:
        """The beginning of the ``.npy`` file."""
        # Its size does not depend on the length: numpy leaves room for all lengths.
        shape = (self.length, *self.shape)
        buffer = io.BytesIO()
        description = {"descr": self.dtype, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(buffer, description)
        return buffer.getvalue()

    @property
    def end(self) -> int:
        """Size of the ``.npy`` file."""
        row = np.dtype(self.dtype).itemsize * math.prod(self.shape)
        return len(self.header) + self.length * row


@dataclass
class _Note:
    """How far the writing has got."""

    identity: str
    examples: int = 0
    columns: dict[str, _Column] = field(default_factory=dict)


def write_split(
    folder: Path,
    reader: SplitReader,
    *,
    source: object,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a split as ``.npy`` files; resume what an earlier call left, if of the same source.

    Args:
      folder: Where to.
      reader: What to write.
      source: What identifies the source, as JSON.
      progress: Called with (examples so far, examples in all).

    Raises:
      DataError: An example cannot be decoded, or the arrays do not fit together.
      WriteError: There is no room.
    """
    identity = content_hash({"source": source, "count": reader.count, "format": _FORMAT})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        note = _resume(folder, identity)
        while note.examples < reader.count:
            stop = min(reader.count, note.examples + CHUNK)
            _append(folder, note, reader.read(note.examples, stop))
            note.examples = stop
            # The bytes are on disk before the note says so.
            atomic_write_json(folder / _NOTE, dataclasses.asdict(note))
            if progress is not None:
                progress(stop, reader.count)
        for name, column in note.columns.items():
            with (folder / f"{name}.npy").open("r+b") as file:
                file.write(column.header)
                _flush(file)
        (folder / _NOTE).unlink()
    except OSError as error:
        raise WriteError(
            f"cannot write {folder}: {error.strerror or error}. Make room, or set VELODROME_CACHE "
            "to a directory with more, and run the command again; it resumes here."
        ) from error


def _resume(folder: Path, identity: str) -> _Note:
    try:
        found = json.loads((folder / _NOTE).read_text())
        if found["identity"] == identity:
            columns = {name: _Column(**column) for name, column in found["columns"].items()}
            return _Note(identity, found["examples"], columns)
    except (FileNotFoundError, ValueError, KeyError):
        pass  # nothing was begun, or nobody knows what
    for path in folder.iterdir():
        path.unlink()
    return _Note(identity)


def _append(folder: Path, note: _Note, arrays: Arrays) -> None:
    if "offsets" in arrays:
        known = note.columns["tokens"].length if note.examples else 0
        first = 1 if note.examples else 0  # the last chunk ended with this chunk's first
        arrays = {**arrays, "offsets": arrays["offsets"][first:] + known}
    for name, array in arrays.items():
        found = _Column(array.dtype.str, list(array.shape[1:]))
        column = note.columns.setdefault(name, found)
        if (column.dtype, column.shape) != (found.dtype, found.shape):
            raise DataError(
                f"array {name!r} of {folder} is of {array.dtype} {array.shape[1:]} in one place "
                f"and of {column.dtype} {column.shape} in another; the source is damaged."
            )
        path = folder / f"{name}.npy"
        # Not a memory map: where the disk is full, writing to one kills the process.
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(column.end)  # without what was written after the last note
            file.seek(column.end)
            file.write(np.ascontiguousarray(array).data)
            _flush(file)
        column.length += len(array)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
