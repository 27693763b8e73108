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
    first = [0] if len(sizes[0]) else []
    left = list(most)
    for number, each in enumerate(zip(*(side.tolist() for side in sizes), strict=True)):
        if any(size > room for size, room in zip(each, left, strict=True)):
            first.append(number)
            left = list(most)
        left = [room - size for size, room in zip(each, left, strict=True)]
    return np.array([*first, len(sizes[0])], np.int64)


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
