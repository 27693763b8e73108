"""Several sequences in one row: which go together, and the rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from velodrome.taskgen.data.arrays import Arrays

SEGMENT = np.uint16
"""The type of the numbers of sequences in a row."""


def first_of_rows(sizes: Sequence[np.ndarray], most: Sequence[int]) -> np.ndarray:
    """Return i64[R+1], the first example of each row, and the number of examples.

    Examples are taken in order. One that does not fit begins a row, and no earlier row is looked
    at again.

    Args:
      sizes: i64[N] for each side of the examples: how long they are, at most as long as a row.
      most: The length of a row of each side.

    Examples:
      >>> first_of_rows([np.array([2, 1, 3, 1])], [4]).tolist()
      [0, 2, 4]
    """
    ends, first, at = ends_of_rows(sizes, most).tolist(), [0], 0
    while at < len(ends):
        at = ends[at]
        first.append(at)
    return np.array(first, np.int64)


def ends_of_rows(sizes: Sequence[np.ndarray], most: Sequence[int]) -> np.ndarray:
    """Return i64[N], for each example the first one after it that is not in a row it begins.

    The arguments are as for `first_of_rows`.

    Examples:
      >>> ends_of_rows([np.array([2, 1, 3, 1])], [4]).tolist()
      [2, 3, 4, 4]
    """
    before = [np.concatenate(([0], np.cumsum(side, dtype=np.int64))) for side in sizes]
    reached = [
        np.searchsorted(total, total[:-1] + limit, side="right") - 1
        for total, limit in zip(before, most, strict=True)
    ]
    # A row has at least one example, however large: so a loop over rows always ends.
    return np.maximum(np.minimum.reduce(reached), np.arange(1, len(sizes[0]) + 1))


def joined(
    raw: Arrays,
    name: str,
    chosen: np.ndarray,
    row: np.ndarray,
    number: np.ndarray,
    shape: tuple[int, int],
) -> Arrays:
    """Return rows of sequences that follow one another, and the number of each place's sequence.

    Args:
      raw: Has the sequences ``name``, with their offsets.
      chosen: i64[n], sequences in the order of their rows.
      row: i64[n], the row of each, ascending.
      number: i64[n], its number in its row.
      shape: Of the result.
    """
    values, offsets = raw[name], raw[f"{name}_offsets"]
    sizes = (offsets[chosen + 1] - offsets[chosen]).astype(np.int64)
    before = np.cumsum(sizes) - sizes  # tokens of all sequences before each
    starts = np.searchsorted(row, np.arange(shape[0]))  # the first sequence of each row
    column = before - before[starts][row] if len(row) else before
    within = np.arange(int(sizes.sum())) - np.repeat(before, sizes)
    at = np.repeat(row, sizes), np.repeat(column, sizes) + within
    tokens, segments = np.zeros(shape, values.dtype), np.zeros(shape, SEGMENT)
    tokens[at] = values[np.repeat(offsets[chosen], sizes) + within]
    segments[at] = np.repeat(number, sizes)
    return {name: tokens, f"{name}_segment": segments}
