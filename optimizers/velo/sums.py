"""Sums over tensors: many at once, in one pass, and in two stages."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array


def row_sums(terms: Sequence[Array]) -> tuple[Array, ...]:
    """Returns the sum over the last axis of each of ``terms``, arrays of one shape.

    One reduction with many results, where `jax.numpy.sum` for each would make XLA's CPU compiler
    write each term to memory first. Sums of rows are short, so plain float32 addition is exact
    enough; the caller adds the rows up with `jax.numpy.sum`.
    """
    zeros = (jnp.float32(0),) * len(terms)
    return jax.lax.reduce(
        tuple(terms),
        zeros,
        lambda sums, values: tuple(a + b for a, b in zip(sums, values, strict=True)),
        dimensions=(terms[0].ndim - 1,),
    )
