"""Sort the tensors of a model into groups that are updated together as one stacked array.

Matrices and tensors of higher rank are grouped by shape and seen as ``[batch, rows, columns]``:
rows and columns are the two factored dimensions, batch is all the others. Scalars and vectors
are padded to a common length.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

#: Larger tensors are never stacked with others: a stack is a copy, and memory counts.
MAX_STACKED = 1 << 18

#: A stack holds at most this part of all parameters: at its largest an update has three of them.
_STACKED_PART = 0.4

#: Up to this many elements, a loop takes less time than a barrier (`barrier.materialised`).
_SMALL = 2048

#: A model of at most this many parameters (8 MiB) may take twice its size for sums.
_LIGHT = 1 << 21

#: Rows shorter than this become columns: a loop over them would be shorter than a CPU's vectors.
_NARROW = 16

#: Vectors of at most this many elements share a padded group, then of 8, 64, ... times as many.
_SHORTEST_BAND = 512

# Vectors are summed in chunks of this many elements, and then the chunks, to keep digits.
_CHUNK = 512


class _Group(ABC):
    """The members of a group, as positions among the leaves of the parameters."""

    members: tuple[int, ...]
    light: bool

    @property
    @abstractmethod
    def stacked(self) -> tuple[int, ...]:
        """Shape of the members as one array."""

    @property
    def small(self) -> bool:
        """Whether barriers cost more than they save."""
        return math.prod(self.stacked) <= _SMALL

    def pick(self, leaves: Sequence[Array]) -> list[Array]:
        return [leaves[i] for i in self.members]


@dataclass(frozen=True)
class MatrixGroup(_Group):
    """Tensors of one shape with two or more dimensions.

    Args:
      order: The transposition that puts the factored dimensions last.
      rows: Size of the last dimension but one after it.
      columns: Size of the last.
      larger_last: Whether the factored dimension that sorts higher, the one that the row factors
        average over, is the last one (otherwise the last but one).
      light: Whether the model is so small that its sums may take memory for speed.
    """

    members: tuple[int, ...]
    shape: tuple[int, ...]
    order: tuple[int, ...]
    rows: int
    columns: int
    larger_last: bool
    light: bool

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def batch(self) -> int:
        """Product of the dimensions that are not factored."""
        return self.size // (self.rows * self.columns)

    @property
    def rank(self) -> int:
        """How many dimensions are greater than one."""
        return sum(size > 1 for size in self.shape)

    @property
    def turned(self) -> bool:
        """Whether rows and columns have changed places."""
        return self.order[-1] < self.order[-2]

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.size,) * len(self.members)

    @property
    def ranks(self) -> tuple[int, ...]:
        return (self.rank,) * len(self.members)

    @property
    def stacked(self) -> tuple[int, int, int, int]:
        return len(self.members), self.batch, self.rows, self.columns

    def stack(self, members: Sequence[Array]) -> Float[Array, "tensor batch rows columns"]:
        """Return the members, stacked, in float32."""
        return jnp.stack(
            [
                member.astype(jnp.float32).transpose(self.order).reshape(self.stacked[1:])
                for member in members
            ]
        )

    def shape_back(self, parts: Sequence[Float[Array, "batch rows columns"]]) -> list[Array]:
        transposed = tuple(self.shape[axis] for axis in self.order)
        back = tuple(int(axis) for axis in np.argsort(self.order))
        return [part.reshape(transposed).transpose(back) for part in parts]


@dataclass(frozen=True)
class VectorGroup(_Group):
    """Scalars and vectors, padded with zeros to one length.

    Args:
      shapes: Shape of each, ``()`` or ``(n,)``.
      chunks: Number of chunks that each is padded to.
      chunk: Number of elements in a chunk.
      light: As of a `MatrixGroup`.
    """

    members: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    chunks: int
    chunk: int
    light: bool
    turned = False

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def ranks(self) -> tuple[int, ...]:
        return tuple(int(size > 1) for size in self.sizes)

    @property
    def stacked(self) -> tuple[int, int, int]:
        return len(self.members), self.chunks, self.chunk

    def stack(self, members: Sequence[Array]) -> Float[Array, "tensor chunk element"]:
        """Return the members, padded and stacked, in float32."""
        length = self.chunks * self.chunk
        parts = []
        for member, size in zip(members, self.sizes, strict=True):
            parts.append(member.astype(jnp.float32).reshape(size))
            # One concatenation of all, padding included: a pad for each would be a loop for each.
            parts.append(np.zeros(length - size, np.float32))
        return jnp.concatenate(parts).reshape(self.stacked)

    def shape_back(self, parts: Sequence[Float[Array, "chunk element"]]) -> list[Array]:
        return [
            part.reshape(-1)[:size].reshape(shape)
            for part, size, shape in zip(parts, self.sizes, self.shapes, strict=True)
        ]


Group = MatrixGroup | VectorGroup


def factored_dims(shape: Sequence[int]) -> tuple[int, int] | None:
    """Return the two largest dimensions, smaller first, or None for scalars and vectors.

    Among equal sizes the later dimension counts as larger, on every machine: the sort is stable
    (numpy's default sort breaks ties by the CPU's vector instructions).
    """
    if len(shape) < 2:
        return None
    order = np.argsort(np.asarray(shape), kind="stable")
    return int(order[-2]), int(order[-1])


def make_groups(shapes: Sequence[tuple[int, ...]]) -> tuple[Group, ...]:
    """Return the groups for tensors of these shapes; tensors without elements are in none.

    The order of the groups, and of the members in them, depends on the shapes alone.
    """
    by_key: dict[tuple, list[int]] = {}
    total = sum(math.prod(shape) for shape in shapes)
    for position, shape in enumerate(shapes):
        size = math.prod(shape)
        if size == 0:
            continue
        key = ("matrix", shape) if len(shape) >= 2 else ("vector", _band(size))
        # A tensor that is too large to be stacked has a key for itself.
        by_key.setdefault((*key, position) if size > MAX_STACKED else key, []).append(position)
    return tuple(
        _matrix_group(stack, shapes[stack[0]], light=total <= _LIGHT)
        if key[0] == "matrix"
        else _vector_group(stack, shapes, light=total <= _LIGHT)
        for key, members in by_key.items()
        for stack in _split(members, math.prod(shapes[members[0]]), int(_STACKED_PART * total))
    )


def _split(members: Sequence[int], size: int, limit: int) -> list[Sequence[int]]:
    """Split the tensors of a group into stacks of about ``limit`` elements, as equal as can be."""
    stacks = min(len(members), -(-len(members) * size // max(limit, 1)))
    per_stack = -(-len(members) // stacks)
    return [members[i : i + per_stack] for i in range(0, len(members), per_stack)]


def _band(size: int) -> int:
    band = _SHORTEST_BAND
    while band < size:
        band *= 8
    return band


def _matrix_group(members: Sequence[int], shape: tuple[int, ...], *, light: bool) -> MatrixGroup:
    dims = factored_dims(shape)
    assert dims is not None
    _, larger = dims
    first, last = sorted(dims)
    if shape[last] < _NARROW <= shape[first] and _SMALL < math.prod(shape) <= MAX_STACKED:
        first, last = last, first
    others = [axis for axis in range(len(shape)) if axis not in dims]
    return MatrixGroup(
        members=tuple(members),
        shape=shape,
        order=(*others, first, last),
        rows=shape[first],
        columns=shape[last],
        larger_last=larger == last,
        light=light,
    )


def _vector_group(
    members: Sequence[int], shapes: Sequence[tuple[int, ...]], *, light: bool
) -> VectorGroup:
    kept = tuple(shapes[i] for i in members)
    longest = max(math.prod(shape) for shape in kept)
    chunk = min(longest, _CHUNK)
    chunks = -(-longest // chunk)
    return VectorGroup(tuple(members), shapes=kept, chunks=chunks, chunk=chunk, light=light)
