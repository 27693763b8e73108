"""Checks of arrays that all kinds of data share; the first bad example is named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

CHUNK_BYTES = 2**26
"""Bytes looked at together, so that mapped files need not fit in memory."""


class SplitError(Exception):
    """What is wrong with a split, as the predicate of a sentence, which becomes a `DataError`."""


def check_integers(what: str, array: np.ndarray, limit: int, shape: tuple[int, ...] = ()) -> None:
    """Raise unless an array is i[N, *shape], from 0 to ``limit - 1``."""
    if array.dtype.kind not in "iu" or array.ndim != 1 + len(shape) or array.shape[1:] != shape:
        found = f"{array.dtype} of the shape {list(array.shape)}"
        wanted = f"integers of the shape [N, {', '.join(map(str, shape))}]" if shape else ""
        raise SplitError(f"has {what} that are {found}, not {wanted or 'a row of integers'}")
    at = first_bad(array, lambda part: (part >= 0) & (part < limit))
    if at is not None:
        row = array[at].reshape(-1)
        worst = row[(row < 0) | (row >= limit)][0]
        raise SplitError(f"has {worst} among its {what}, at {at}; they are from 0 to {limit - 1}")


def check_floats(what: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise unless an array is f32[N, *shape] of finite numbers."""
    if array.dtype != np.float32 or array.ndim != 1 + len(shape) or array.shape[1:] != shape:
        found = f"{array.dtype}{list(array.shape)}"
        declared = ", ".join(map(str, ("N", *shape)))
        raise SplitError(f"has {what} {found}, but float32[{declared}] is declared")
    at = first_bad(array, np.isfinite)
    if at is not None:
        raise SplitError(f"has a value that is not finite among its {what}, at {at}")


def check_offsets(what: str, offsets: np.ndarray, total: int) -> np.ndarray:
    """Return the lengths that offsets i[N+1] say; raise unless they rise from 0 to ``total``."""
    check_integers("offsets", offsets, total + 1)
    ends = (int(offsets[0]), int(offsets[-1])) if len(offsets) else ()
    if ends != (0, total):
        raise SplitError(f"has offsets from {list(ends)}, not from 0 to the {total} {what}")
    lengths = np.diff(offsets.astype(np.int64))
    for at in np.flatnonzero(lengths < 0)[:1]:
        raise SplitError(
            f"has offsets that fall at {at + 1}, from {offsets[at]} to {offsets[at + 1]}"
        )
    return lengths


def check_count(what: str, count: int, of: str, other: int) -> None:
    """Raise unless there are as many of one thing as of the other."""
    if count != other:
        raise SplitError(f"has {count:,} {what}, but {other:,} {of}")


def first_bad(array: np.ndarray, fine: Callable[[np.ndarray], np.ndarray]) -> int | None:
    """Return the index of the first row with an element that is not fine, or None."""
    rows = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        found = fine(array[start : start + rows])
        bad = np.flatnonzero(~found.reshape(len(found), -1).all(axis=1))
        if bad.size:
            return start + int(bad[0])
    return None
