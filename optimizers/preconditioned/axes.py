"""What is done along the axes of an array: products with a matrix each, and Gram matrices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_EXACT = jax.lax.Precision.HIGHEST  # GPUs round the factors of products otherwise

matmul = partial(jnp.matmul, precision=_EXACT)


def along_axes(
    array: Float[Array, ...], matrices: Sequence[Float[Array, "_ _"] | None]
) -> Float[Array, ...]:
    """Multiply each axis by the transpose of its matrix; None leaves an axis as it is."""
    for matrix in matrices:
        # Each turn moves the first axis to the end: after all of them the order is the old one.
        if matrix is None:
            array = jnp.moveaxis(array, 0, -1)
        else:
            array = jnp.tensordot(array, matrix, axes=((0,), (0,)), precision=_EXACT)
    return array


def gram(array: Float[Array, ...], axis: int) -> Float[Array, "n n"]:
    """Return the products of all slices across an axis with each other: G G^T of a matrix."""
    others = [place for place in range(array.ndim) if place != axis]
    return jnp.tensordot(array, array, axes=(others, others), precision=_EXACT)
