"""Inverse roots of symmetric matrices, from their eigenvalues."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from velodrome.optimizers.preconditioned.axes import matmul
from velodrome.optimizers.preconditioned.lapack import eigh

#: From ascending eigenvalues to those of a positive definite matrix.
Damp = Callable[[Float[Array, " n"]], Float[Array, " n"]]


def inverse_roots(
    matrices: Sequence[Float[Array, "_ _"]],
    kept: Sequence[Float[Array, "_ _"]],
    orders: Sequence[int],
    damps: Sequence[Damp],
) -> list[Float[Array, "_ _"]]:
    """Return the inverse root of each matrix, of its own order; what is kept if it is not finite.

    Matrices of one size, order and damping are decomposed together.
    """
    groups: dict[tuple[int, int, Damp], list[int]] = defaultdict(list)
    for place, (matrix, order, damp) in enumerate(zip(matrices, orders, damps, strict=True)):
        groups[len(matrix), order, damp].append(place)
    found = list(kept)
    for (_, order, damp), places in groups.items():
        stacks = (jnp.stack([group[place] for place in places]) for group in (matrices, kept))
        new = jax.vmap(partial(_inverse_root, order=order, damp=damp))(*stacks)
        for place, root in zip(places, new, strict=True):
            found[place] = root
    return found


def _inverse_root(
    matrix: Float[Array, "n n"], kept: Float[Array, "n n"], *, order: int, damp: Damp
) -> Float[Array, "n n"]:
    values, vectors = eigh(matrix)
    root = matmul(vectors * damp(values)[None] ** (-1 / order), vectors.T)
    return jnp.where(jnp.isfinite(root).all(), root, kept)
