"""Sequences of different lengths in one array: what fits is padded to one length."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.text import INDEX_LIMIT

_CHUNK_BYTES = 2**25  # of a chunk of rows, so that index arrays stay small


def offsets_of(lengths: Iterable[int]) -> np.ndarray:
    """Return i64[N+1], where each of N sequences begins that lie one after the other, and the end.

    Examples:
      >>> offsets_of([2, 0, 3]).tolist()
      [0, 2, 2, 5]
    """
    return np.cumsum([0, *lengths], dtype=np.int64)


def padded(values: np.ndarray, offsets: np.ndarray, chosen: np.ndarray, length: int) -> np.ndarray:
    """Return the sequences ``chosen`` i64[n] as [n, length, ...], padded with 0 at the end.

    Sequence i is ``values[offsets[i]:offsets[i+1]]``, and must not be longer than ``length``.
    """
    made = np.zeros((len(chosen), length, *values.shape[1:]), values.dtype)
    columns = np.arange(length)
    size = max(1, _CHUNK_BYTES // max(1, 8 * length))
    for at in range(0, len(chosen) if len(values) else 0, size):
        some = chosen[at : at + size]
        start = offsets[some][:, None] + columns
        inside = start < offsets[some + 1][:, None]
        rows = made[at : at + size]
        rows[inside] = values[start[inside]]
    return made


def counts(offsets: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the lengths i64[n] of the sequences ``chosen``."""
    return (offsets[chosen + 1] - offsets[chosen]).astype(np.int64)


def inside(offsets: np.ndarray, chosen: np.ndarray, length: int) -> np.ndarray:
    """Return u8[n,length], 1 where a padded sequence is not padding."""
    return (np.arange(length) < counts(offsets, chosen)[:, None]).astype(np.uint8)


def fitting(limits: dict[str, tuple[np.ndarray, int]], what: str) -> np.ndarray:
    """Return the examples i64[n] all of whose sequences fit.

    Args:
      limits: Offsets of sequences, and the largest length, by what the elements are, in the
        plural.
      what: The split, for messages.

    Raises:
      DataError: None fits, or there are too many for 32-bit indices.
    """
    offsets = next(iter(limits.values()))[0]
    fits = np.ones(len(offsets) - 1, bool)
    for found, most in limits.values():
        fits &= np.diff(found) <= most
    if len(fits) >= INDEX_LIMIT:
        raise DataError(f"{what} has {len(fits)} examples; at most {INDEX_LIMIT - 1} can be used.")
    if not fits.any():
        sizes = " and ".join(f"{most} {name}" for name, (_, most) in limits.items())
        raise DataError(f"no example of {what} has at most {sizes}; choose larger sizes.")
    return np.flatnonzero(fits)
