"""Text: windows cut out of one long array, or the first tokens of separate examples."""

from __future__ import annotations

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.arrays import Arrays

INDEX_LIMIT = 2**31
"""Examples and tokens are counted with 32-bit numbers on the device."""

_CHUNK = 8192  # examples put into rows at a time, so that index arrays stay small


def fold(tokens: np.ndarray, vocab_size: int) -> np.ndarray:
    """Fold tokens, which are not negative, into a vocabulary of at least 2.

    Token t >= V becomes 1 + t mod (V - 1): never 0, which may stand for padding. A vocabulary
    larger than that of the data leaves them as they are.
    """
    if not (tokens >= vocab_size).any():
        return tokens
    folded = np.where(tokens < vocab_size, tokens, 1 + tokens.astype(np.int64) % (vocab_size - 1))
    return folded.astype(tokens.dtype)


def count_windows(tokens: int, length: int, what: str) -> int:
    """Return how many windows of ``length + 1`` tokens there are at a stride of ``length``.

    Neighbours share one token, so every token but the first is predicted once an epoch.

    Raises:
      DataError: There is none, or the text is too long for 32-bit indices.
    """
    if tokens <= length:
        raise DataError(
            f"{what} has {tokens} tokens, not enough for a sequence of {length} and the token "
            "after it; choose a shorter sequence length."
        )
    if tokens >= INDEX_LIMIT:
        raise DataError(
            f"{what} has {tokens} tokens; at most {INDEX_LIMIT - 1} can be held at once."
        )
    return (tokens - 1) // length


def window_rows(raw: Arrays, indices: np.ndarray, *, length: int, vocab_size: int) -> Arrays:
    """Copy the windows ``indices`` i64[n] of a stream ``{"tokens": int[N]}`` into rows.

    Returns:
      ``{"rows": int[n,length+1]}``, folded into the vocabulary.
    """
    at = indices.astype(np.int64)[:, None] * length + np.arange(length + 1)
    return {"rows": fold(raw["tokens"][at], vocab_size)}


def example_rows(
    raw: Arrays, indices: np.ndarray | None, *, length: int, vocab_size: int
) -> Arrays:
    """Copy the first tokens of the examples ``indices`` (None: of all), padded with 0 at the end.

    Nothing is put before or after the text, as in the published tasks. In ``{"tokens": int[M],
    "offsets": i64[N+1]}``, example i is ``tokens[offsets[i]:offsets[i+1]]``, and may be empty.

    Returns:
      ``{"rows": int[n,length+1]}``, folded into the vocabulary.
    """
    tokens, offsets = raw["tokens"], raw["offsets"]
    chosen = np.arange(len(offsets) - 1) if indices is None else indices.astype(np.int64)
    rows = np.zeros((len(chosen), length + 1), tokens.dtype)
    columns = np.arange(length + 1)
    for at in range(0, len(chosen) if len(tokens) else 0, _CHUNK):
        some = chosen[at : at + _CHUNK]
        start = offsets[some][:, None] + columns
        inside = start < offsets[some + 1][:, None]
        taken = tokens[np.minimum(start, len(tokens) - 1)]
        rows[at : at + _CHUNK] = np.where(inside, fold(taken, vocab_size), 0)
    return {"rows": rows}
