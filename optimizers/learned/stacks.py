"""Tensors of one shape as one array, so that a model of many layers is a program of few."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from velodrome.optimizers.velo.barrier import materialised, take_apart
from velodrome.optimizers.velo.grouping import MAX_STACKED

Rest = TypeVar("Rest")


@dataclass(frozen=True)
class Stack:
    """Tensors of one shape.

    Args:
      members: Their positions among the leaves of the parameters.
    """

    members: tuple[int, ...]
    shape: tuple[int, ...]

    def pick(self, leaves: Sequence[Array]) -> Float[Array, "member ..."]:
        """Return the members among the leaves, in float32."""
        return jnp.stack([leaves[i].astype(jnp.float32) for i in self.members])

    def apart(
        self, always: Bool[Array, ""], make: Callable[[], tuple[Array, Rest]]
    ) -> tuple[list[Array], Rest]:
        """Return the members of the first of what ``make`` returns, and the rest as it is.

        ``always`` is as in `materialised`.
        """
        if len(self.members) == 1:
            stacked, rest = make()
            return [stacked[0]], rest
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(make))
        stacked, rest = materialised(always, make, zeros=zeros)
        return take_apart(always, stacked), rest


def make_stacks(shapes: Sequence[tuple[int, ...]]) -> tuple[Stack, ...]:
    """Return the stacks for tensors of these shapes; tensors without elements are in none."""
    by_key: dict[tuple[object, ...], list[int]] = {}
    for position, shape in enumerate(shapes):
        size = math.prod(shape)
        if size:
            # A tensor that is too large to be copied has a key for itself.
            by_key.setdefault((shape, position if size > MAX_STACKED else 0), []).append(position)
    return tuple(Stack(tuple(found), shapes[found[0]]) for found in by_key.values())
