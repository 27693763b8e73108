"""Compute something at some updates only, also in lanes.

``jax.lax.cond`` becomes a selection under ``vmap``, which computes both sides at every update. All
lanes of a sweep are at the same update, so here one condition holds for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, PyTree

Kept = TypeVar("Kept")


def run_if(due: Bool[Array, ""], compute: Callable[..., Kept], kept: Kept, *inputs: PyTree) -> Kept:
    """Return ``compute(kept, *inputs)`` if it is due, else what is kept.

    Under ``vmap`` nothing is computed while it is due in no lane. ``compute`` may close over
    nothing that is mapped: such values are inputs.
    """

    @custom_vmap
    def run(due: Bool[Array, ""], kept: Kept, inputs: PyTree) -> Kept:
        return jax.lax.cond(due, lambda: compute(kept, *inputs), lambda: kept)

    @run.def_vmap
    def lanes(size: int, mapped: PyTree, due: Array, kept: Kept, inputs: PyTree) -> tuple:
        due, kept, inputs = jax.tree.map(
            lambda value, has: value if has else jnp.broadcast_to(value, (size, *value.shape)),
            (due, kept, inputs),
            tuple(mapped),
        )
        out = run_if(jnp.any(due), _each(compute), kept, due, *inputs)
        return out, jax.tree.map(lambda _: True, out)

    return run(due, kept, inputs)


def _each(compute: Callable[..., Kept]) -> Callable[..., Kept]:
    """Return ``compute`` for all lanes, which keeps what it has where it is not due."""

    def one(due: Bool[Array, ""], kept: Kept, *inputs: PyTree) -> Kept:
        return jax.tree.map(lambda new, old: jnp.where(due, new, old), compute(kept, *inputs), kept)

    def all_lanes(kept: Kept, due: Bool[Array, " lane"], *inputs: PyTree) -> Kept:
        return jax.vmap(one)(due, kept, *inputs)

    return all_lanes
