"""Sums over axes and over whole tensors, in the form that a CPU's compiler makes fast.

XLA's CPU compiler writes the operand of a plain `jax.numpy.sum` to memory first. It makes one loop
of a reduction with several results, which reads its inputs once and writes nothing else. That loop
adds one number at a time, unless the reduction is so short that it is unrolled: then the loop over
what is left runs in vectors. So long sums are made in short steps. Float32 keeps more digits that
way, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

#: A reduction is unrolled if its length times the number of its results is at most this.
_UNROLLED = 48

#: Shorter steps write too much for what they save.
_LEAST = 3

#: With this many terms a step can add 8 numbers, as the product is at most `_UNROLLED`.
_AT_ONCE = 6

#: A step along the last axis adds rows of this many numbers, because XLA unrolls so short a loop.
_ACROSS = 16

#: Elements that a CPU takes at once.
_VECTOR = 8

#: Fewer elements are added faster one by one than in two loops.
_FEW = 256

#: Arrays of at most this many elements stay in a CPU's cache, with all that an update reads.
_CACHED = 1 << 17


def axis_sums(terms: Sequence[Array], *, axis: int) -> list[Array]:
    """Return the sums over one of the last two axes of each of ``terms``, arrays of one shape."""
    axis %= terms[0].ndim
    while few := _divisor(terms, axis):
        terms = _short_sums(terms, axis, few)
    most, length = _longest_step(terms, axis), terms[0].shape[axis]
    if most < len(terms):  # sums in steps would be more numbers than they add up
        return list(_sums((axis,), *terms))
    whole = length - length % most
    first, rest = (
        [jax.lax.slice_in_dim(x, *ends, axis=axis) for x in terms]
        for ends in ((0, whole), (whole, length))
    )
    sums = axis_sums(first, axis=axis), _sums((axis,), *rest)
    return [a + b for a, b in zip(*sums, strict=True)]


def sums_by_tensor(
    terms: Sequence[Array], *, in_parts: bool = False
) -> Sequence[Float[Array, " tensor"]]:
    """Return the sums of arrays ``[tensor, ...]`` of one shape over all axes but the first.

    ``in_parts``: many terms may be taken a few at a time. It is faster, and takes more memory.
    """
    axes = tuple(range(1, terms[0].ndim))
    axis, few = _step(terms)
    if in_parts and not few and _step(terms[:_AT_ONCE])[1]:
        # Inputs are read again for each part, but in vectors: with all terms, steps are too short.
        parts = (terms[at : at + _AT_ONCE] for at in range(0, len(terms), _AT_ONCE))
        return [total for part in parts for total in sums_by_tensor(part)]
    if few:
        terms = _short_sums(terms, axis, few)
    if terms[0].size <= terms[0].shape[0] * _FEW:
        return _sums(axes, *terms) if axes else terms
    return sums_by_tensor(terms if few else axis_sums(terms, axis=-1))


def tensor_sums(rows: Array) -> Array:
    """Return the sums of an array ``[term, tensor, ...]`` over all but its first two axes."""
    return jnp.sum(rows.reshape(*rows.shape[:2], -1), axis=-1)


def _step(terms: Sequence[Array]) -> tuple[int, int]:
    """Return which of the last two axes can be added in steps, and their length, or zeros."""
    axes = reversed(range(1, terms[0].ndim)[-2:])
    steps = ((axis, _divisor(terms, axis)) for axis in axes)
    return next(((axis, few) for axis, few in steps if few), (0, 0))


def _divisor(terms: Sequence[Array], axis: int) -> int:
    """Return the longest step that divides an axis, or 0."""
    most = _longest_step(terms, axis)
    return next((few for few in range(most, _LEAST - 1, -1) if terms[0].shape[axis] % few == 0), 0)


def _longest_step(terms: Sequence[Array], axis: int) -> int:
    """Return how many numbers a step along an axis may add, or 0 to add all of them at once."""
    if jax.default_backend() != "cpu":  # other compilers take care of that themselves
        return 0
    if jax.sharding.get_abstract_mesh().size > 1:  # steps would gather what devices share
        return 0
    shape, size = terms[0].shape, terms[0].size
    most = _UNROLLED // len(terms)
    if axis == len(shape) - 1:  # what is left of the axis is what the loop runs over
        most = min(most, _VECTOR, shape[axis] // _VECTOR)
    too_short = most < _LEAST or shape[axis] <= most or shape[-1] < _VECTOR or size < _FEW
    too_large = len(terms) > most and size > _CACHED  # then the sums would leave the cache
    return 0 if too_short or too_large else most


def _short_sums(terms: Sequence[Array], axis: int, few: int) -> Sequence[Array]:
    """Return the sums of each ``few`` numbers along an axis, of the last two."""
    shape = terms[0].shape
    left = shape[axis] // few
    if axis < len(shape) - 1:
        blocks = [x.reshape(*shape[:axis], left, few, *shape[axis + 1 :]) for x in terms]
        return _sums((axis + 1,), *blocks)
    across = _ACROSS if left % _ACROSS == 0 else left
    blocks = [x.reshape(*shape[:-1], left // across, few, across) for x in terms]
    return [x.reshape(*shape[:-1], left) for x in _sums((axis + 1,), *blocks)]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _sums(axes: tuple[int, ...], *terms: Array) -> tuple[Array, ...]:
    return jax.lax.reduce(
        terms,
        (jnp.float32(0),) * len(terms),
        lambda sums, values: tuple(a + b for a, b in zip(sums, values, strict=True)),
        dimensions=axes,
    )


@_sums.defjvp
def _(axes: tuple[int, ...], terms: tuple[Array, ...], tangents: tuple) -> tuple[tuple, tuple]:
    # A reduction with several results has no derivative of its own.
    return _sums(axes, *terms), tuple(jnp.sum(tangent, axes) for tangent in tangents)
