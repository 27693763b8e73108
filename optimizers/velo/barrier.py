"""Keep XLA's CPU compiler from repeating a computation for each part of its result.

When a stacked result is taken apart, that compiler fuses the whole computation into the loop of
each part: in a group of 24 tensors, 24 times the code to compile and to run. It removes
`jax.lax.optimization_barrier` before fusion, but keeps a branch that is always taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, Int

T = TypeVar("T")


@custom_vmap
def same_in_all_lanes(flag: Bool[Array, ""]) -> Bool[Array, ""]:
    """Return a flag that is equal in all lanes of a `jax.vmap` as one flag without lanes.

    A branch on a flag with lanes would become a select, and be no barrier any more.
    """
    return flag


@same_in_all_lanes.def_vmap
def _(size: int, batched: list[bool], flags: Bool[Array, " lanes"]) -> tuple[Array, bool]:
    del size
    return same_in_all_lanes(jnp.all(flags) if batched[0] else flags), False


def materialised(always: Bool[Array, ""], function: Callable[[], T], *, zeros: T) -> T:
    """Return ``function()``, on a CPU as arrays that exist in memory.

    Args:
      always: True, in a way that the compiler cannot know, and `same_in_all_lanes`.
      zeros: Something of the same shapes and dtypes; it is never returned.
    """
    if jax.default_backend() != "cpu":  # nothing to gain, and a branch costs a GPU a round trip
        return function()
    return jax.lax.cond(always, function, lambda: zeros)


def take_apart(always: Bool[Array, ""], stacked: Array) -> list[Array]:
    """Return the parts of ``stacked`` along its first axis.

    On a CPU they are read at positions that the compiler does not know: the loops that read them
    are then all the same code, which it compiles once.
    """
    count = stacked.shape[0]
    if jax.default_backend() != "cpu":
        return [stacked[i] for i in range(count)]

    def positions() -> list[Int[Array, ""]]:
        return [jnp.int32(i) for i in range(count)]

    unknown = materialised(always, positions, zeros=[jnp.int32(0)] * count)
    return [jax.lax.dynamic_index_in_dim(stacked, i, keepdims=False) for i in unknown]
