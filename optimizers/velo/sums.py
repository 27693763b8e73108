"""Sums over stacked tensors: many at once, in one pass over memory, and in two stages.

XLA's CPU compiler writes the operand of a plain `jax.numpy.sum` to memory first. A reduction with
several results it turns into one loop instead, which reads its inputs once and writes nothing else;
and sums over one axis only, added up afterwards, keep float32's digits.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array


def axis_sums(terms: Sequence[Array], *, axis: int) -> list[Array]:
    """Returns the sum over one axis of each of ``terms``, arrays of one shape.

    The last axis is the one to sum many terms over; a few go fast over others too.
    """
    sums = jax.lax.reduce(
        tuple(terms),
        (jnp.float32(0),) * len(terms),
        lambda sums, values: tuple(a + b for a, b in zip(sums, values, strict=True)),
        dimensions=(axis % terms[0].ndim,),
    )
    return list(sums)


def tensor_sums(rows: Array) -> Array:
    """Returns the sums of an array ``[term, tensor, ...]`` over all but its first two axes."""
    return jnp.sum(rows.reshape(*rows.shape[:2], -1), axis=-1)
