"""TFRecord files, as tensorflow-datasets writes them by default, read without TensorFlow."""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.published.readers.base import spans
from velodrome.taskgen.data.ragged import offsets_of

_LENGTH = struct.Struct("<Q")  # of a record; before it, with a checksum of these eight bytes
_CHECKSUM = struct.Struct("<I")  # of a record; after it
_HEAD = _LENGTH.size + _CHECKSUM.size

_CASTAGNOLI = 0x82F63B78  # the polynomial of CRC-32C, reversed


@dataclass(frozen=True)
class Piece:
    """Some records of a file: ``take`` of them, after the first ``skip``."""

    path: Path
    skip: int
    take: int


def read_records(pieces: Sequence[Piece], start: int, stop: int) -> list[bytes]:
    """Return records by their numbers in all pieces, one after the other.

    Lengths are compared with their checksums; those of contents are not, which would take hours.

    Raises:
      DataError: A file is missing, is cut off, or has other bytes where a record should begin.
    """
    made = []
    for number, begin, end in spans(offsets_of(piece.take for piece in pieces), start, stop):
        piece = pieces[number]
        places = _places(piece.path)
        first, last = piece.skip + begin, piece.skip + end
        if last >= len(places):
            raise _damaged(piece.path, f"it has {len(places) - 1:,} records")
        with piece.path.open("rb") as file:
            for at in range(first, last):
                file.seek(int(places[at]) + _HEAD)
                made.append(file.read(int(places[at + 1] - places[at]) - _HEAD - _CHECKSUM.size))
    return made


@functools.lru_cache(maxsize=4)  # chunks that are read one after the other share a file
def _places(path: Path) -> np.ndarray:
    """Return i64[N+1], where each record of a file begins, and the end of the last."""
    places = [0]
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            while places[-1] < size:
                file.seek(places[-1])
                head = file.read(_HEAD)
                if len(head) < _HEAD:
                    raise _damaged(path, "it is cut off")
                (length,), (checksum,) = (
                    _LENGTH.unpack(head[: _LENGTH.size]),
                    _CHECKSUM.unpack(head[_LENGTH.size :]),
                )
                if masked_checksum(head[: _LENGTH.size]) != checksum:
                    raise _damaged(path, f"no record begins at byte {places[-1]:,}")
                places.append(places[-1] + _HEAD + length + _CHECKSUM.size)
    except OSError as error:
        raise _damaged(path, str(error)) from error
    if places[-1] != size:
        raise _damaged(path, "it is cut off")
    return np.array(places, np.int64)


def _damaged(path: Path, why: str) -> DataError:
    return DataError(f"{path} is damaged ({why}); copy it again, or prepare it again.")


def masked_checksum(content: bytes) -> int:
    """Return the checksum of TFRecord: CRC-32C, turned by 15 bits, and a constant added."""
    checksum = 0xFFFFFFFF
    for byte in content:
        checksum = (checksum >> 8) ^ _table()[(checksum ^ byte) & 0xFF]
    checksum ^= 0xFFFFFFFF
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _table() -> tuple[int, ...]:
    def entry(value: int) -> int:
        for _ in range(8):
            value = value >> 1 ^ (_CASTAGNOLI if value & 1 else 0)
        return value

    return tuple(entry(value) for value in range(256))
