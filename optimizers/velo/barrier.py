"""A barrier that XLA's CPU compiler does not fuse across.

When a stacked result is taken apart, that compiler repeats the whole computation in the loop of
each part: in a group of 24 tensors, 24 times the code to compile and to run. It removes
`jax.lax.optimization_barrier` before fusion, but keeps a branch that is always taken.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool


def materialised(
    always: Bool[Array, ""],
    function: Callable[[Bool[Array, ""], Any], Array],
    operands: Any,
    *,
    shape: tuple[int, ...],
) -> Array:
    """Returns ``function(always, operands)``, on a CPU as an array that exists in memory.

    Args:
      always: True, in a way that the compiler cannot know.
      function: What to compute, as float32; may call this function in its turn.
      operands: Everything that it computes it from: a pytree. (No tracer may be closed over.)
      shape: Of the result.
    """
    if jax.default_backend() != "cpu":  # nothing to gain, and a branch costs a GPU a round trip
        return function(always, operands)

    @custom_vmap
    def run(always: Array, operands: Any) -> Array:
        return jax.lax.cond(
            always, function, lambda *_: jnp.zeros(shape, jnp.float32), always, operands
        )

    @run.def_vmap
    def _(size: int, batched: Any, always: Array, operands: Any) -> tuple[Array, bool]:
        # A predicate with lanes would turn the branch into a select, which is no barrier.
        single = jnp.all(always) if batched[0] else always
        axes = jax.tree.map(lambda is_batched: 0 if is_batched else None, batched[1])
        lanes = jax.vmap(function, in_axes=(None, axes), axis_size=size)
        return materialised(single, lanes, operands, shape=(size, *shape)), True

    @jax.custom_jvp
    def differentiable(always: Array, operands: Any) -> Array:
        return run(always, operands)

    # Derivatives go around the barrier, because custom_vmap has none.
    differentiable.defjvp(partial(jax.jvp, function))
    return differentiable(always, operands)
