"""Arrays cut into blocks, so that no matrix of a preconditioner is large."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclass(frozen=True)
class Blocks:
    """How an array of some shape is cut.

    Attributes:
      shape: Of the array.
      merged: The shape that it is cut in: neighbouring axes are one, as long as it is small.
      size: Longest side of a block.
    """

    shape: tuple[int, ...]
    merged: tuple[int, ...]
    size: int

    @classmethod
    def of(cls, shape: Sequence[int], size: int) -> Blocks:
        """Merge axes up to ``size``, and cut what is longer."""
        return cls(tuple(shape), merged_shape(shape, size), size)

    def split(self, array: Float[Array, ...]) -> list[Float[Array, ...]]:
        """Return the blocks, the last axis fastest."""
        array = array.reshape(self.merged)
        return [array[place] for place in itertools.product(*self._cuts())]

    def join(self, blocks: Sequence[Float[Array, ...]]) -> Float[Array, ...]:
        """Return the array of these blocks."""
        for axis in reversed(range(len(self.merged))):
            count = len(self._cuts()[axis])
            blocks = [
                jnp.concatenate(blocks[start : start + count], axis=axis)
                for start in range(0, len(blocks), count)
            ]
        (whole,) = blocks
        return whole.reshape(self.shape)

    def _cuts(self) -> list[list[slice]]:
        starts = [range(0, length, self.size) for length in self.merged]
        return [[slice(start, start + self.size) for start in axis] for axis in starts]


def merged_shape(shape: Sequence[int], limit: int) -> tuple[int, ...]:
    """Return a shape in which neighbouring axes are one while their product is within a limit.

    >>> merged_shape((3, 3, 32, 64), 128)
    (9, 32, 64)
    """
    found: list[int] = []
    product = 1
    for length in shape:
        if product * length <= limit:
            product *= length
        else:
            found += [product] if product > 1 else []
            product = length
    found += [product] if product > 1 or (shape and math.prod(shape) == 1) else []
    return tuple(found)
