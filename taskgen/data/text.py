"""Text: windows of tokens, cut on the device out of one long array."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from foundation.errors import DataError
from taskgen.data.info import Arrays


def prepare_tokens(raw: Arrays, *, vocab_size: int) -> Arrays:
    """Folds tokens into a vocabulary.

    Token t >= V becomes 1 + t mod (V - 1): never 0, which may stand for padding. A vocabulary
    larger than that of the data leaves them as they are.

    Args:
      raw: ``{"tokens": int[N]}``, non-negative.
      vocab_size: Size V of the vocabulary, at least 2.

    Returns:
      ``{"tokens": int[N]}`` of the same type.
    """
    tokens = raw["tokens"]
    if int(tokens.max()) < vocab_size:
        return {"tokens": tokens}
    folded = np.where(tokens < vocab_size, tokens, 1 + tokens.astype(np.int64) % (vocab_size - 1))
    return {"tokens": folded.astype(tokens.dtype)}


def count_windows(tokens: int, length: int, what: str) -> int:
    """Returns how many windows of ``length + 1`` tokens there are at a stride of ``length``.

    Neighbours share one token, so every token but the first is predicted once an epoch.

    Raises:
      DataError: There is none, or the text is too long for 32-bit indices.
    """
    if tokens <= length:
        raise DataError(
            f"{what} has {tokens} tokens, not enough for a sequence of {length} and the one "
            "after it; choose a shorter sequence length."
        )
    if tokens >= 2**31:
        raise DataError(f"{what} has {tokens} tokens; at most {2**31 - 1} can be held at once.")
    return (tokens - 1) // length


def gather_windows(
    arrays: dict[str, jax.Array], indices: jax.Array, *, length: int
) -> dict[str, jax.Array]:
    """Takes a batch of windows.

    Args:
      arrays: ``{"tokens": int[N]}``, on the device.
      indices: i32[B], which windows.
      length: Tokens T to predict in each.

    Returns:
      ``{"obs": i32[B,T], "target": i32[B,T]}``; ``target[:, i]`` follows ``obs[:, i]``.
    """
    tokens = arrays["tokens"]

    def take(index: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(tokens, (index * length,), (length + 1,))

    window = jax.vmap(take)(indices).astype(jnp.int32)
    return {"obs": window[:, :-1], "target": window[:, 1:]}
