"""Averages of one tensor's gradients, and the channels that small networks read of them.

Momenta, second moments, and second moments that are factored over the two largest dimensions, as in
Adafactor (Shazeer and Stern 2018, arXiv 1804.04235). Every array has its channel or decay first,
then the dimensions of the tensor. There is no bias correction.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from velodrome.optimizers.velo.grouping import factored_dims
from velodrome.optimizers.velo.sums import axis_sums
from velodrome.optimizers.velo.tensor_statistics import TINY, safe_rsqrt


class Decays(NamedTuple):
    """Decays of each kind of average."""

    momentum: Float[Array, " momenta"]
    second: Float[Array, " seconds"]
    factored: Float[Array, " factored"]


class Accumulators(NamedTuple):
    """Averages of a tensor's gradients.

    A factored second moment is kept as its means over the largest dimension (``by_row``) and over
    the second largest (``by_column``), which have size 1. Scalars and vectors are not factored:
    ``by_row`` holds the averages of all elements, and ``by_column`` nothing.
    """

    momentum: Float[Array, "momenta ..."]
    second: Float[Array, "seconds ..."]
    by_row: Float[Array, "factored ..."]
    by_column: Float[Array, "factored ..."]


def init_accumulators(shape: tuple[int, ...], decays: Decays) -> Accumulators:
    momenta, seconds, factored = (len(kind) for kind in decays)
    rows, columns = shape, (0,)
    if dims := factored_dims(shape):
        smaller, larger = dims
        rows = tuple(1 if axis == larger else size for axis, size in enumerate(shape))
        columns = tuple(1 if axis == smaller else size for axis, size in enumerate(shape))
    return Accumulators(
        momentum=jnp.zeros((momenta, *shape), jnp.float32),
        second=jnp.zeros((seconds, *shape), jnp.float32),
        by_row=jnp.zeros((factored, *rows), jnp.float32),
        by_column=jnp.zeros((factored, *columns), jnp.float32),
    )


def accumulate(old: Accumulators, gradient: Float[Array, " ..."], decays: Decays) -> Accumulators:
    square = gradient**2
    rows, by_column = square + TINY, old.by_column
    if dims := factored_dims(gradient.shape):
        smaller, larger = dims
        columns = jnp.mean(rows, axis=smaller, keepdims=True)
        rows = jnp.mean(rows, axis=larger, keepdims=True)
        by_column = _average(old.by_column, columns, decays.factored)
    return Accumulators(
        momentum=_average(old.momentum, gradient, decays.momentum),
        second=_average(old.second, square, decays.second),
        by_row=_average(old.by_row, rows, decays.factored),
        by_column=by_column,
    )


def channels(
    averages: Accumulators,
    gradient: Float[Array, " ..."],
    parameters: Float[Array, " ..."],
    *,
    epsilon: float,
) -> dict[str, Float[Array, "channel ..."]]:
    """Return all channels by name, before they are normalised.

    ``epsilon`` is under the inverse root of the second moment.
    """
    momentum, second, by_row, by_column = averages
    inverse_root = jax.lax.rsqrt(second + epsilon)
    dims = factored_dims(gradient.shape)
    if dims is None:
        row = column = by_row
        factor = safe_rsqrt(by_row + 1e-9)
        momentum_factor = jax.lax.rsqrt(by_row + 1e-6)
    else:
        smaller, _ = dims
        shape = (by_row.shape[0], *gradient.shape)
        row, column = jnp.broadcast_to(by_row, shape), jnp.broadcast_to(by_column, shape)
        # Axes count from behind: the first one is that of the decays.
        over = smaller - len(gradient.shape)
        of_mean = by_row / (jnp.mean(by_row, axis=over, keepdims=True) + 1e-9)
        factor = momentum_factor = safe_rsqrt(of_mean) * safe_rsqrt(by_column)
    return {
        "gradient": gradient[None],
        "clipped": jnp.clip(gradient, -0.1, 0.1)[None],
        "parameter": parameters[None],
        "momentum": momentum,
        "second": second,
        "normalised_momentum": momentum * inverse_root,
        "inverse_root": inverse_root,
        "factored_gradient": gradient[None] * factor,
        "normalised_gradient": gradient[None] * inverse_root,
        "row": row,
        "column": column,
        "inverse_row": jax.lax.rsqrt(row + 1e-8),
        "inverse_column": jax.lax.rsqrt(column + 1e-8),
        "factored_momentum": momentum * momentum_factor,
    }


def normalisers(
    terms: Sequence[Float[Array, " ..."]], *, epsilon: float, axes: int
) -> list[Float[Array, " ..."]]:
    """Return for each array one over its root mean square over its last ``axes`` axes."""
    over = range(-axes, 0)
    # All in one pass, over the last axis first.
    sums = axis_sums([term**2 for term in terms], axis=-1)
    count = math.prod(terms[0].shape[axis] for axis in over)
    shape = (*terms[0].shape[:-axes], *(1 for _ in over))
    rest = tuple(range(1 - axes, 0))
    return [jax.lax.rsqrt(epsilon + jnp.sum(x, axis=rest) / count).reshape(shape) for x in sums]


def network(
    inputs: Sequence[Float[Array, " ..."]],
    layers: Sequence[tuple[Float[Array, "_ _"], Float[Array, " _"]]],
) -> list[Float[Array, " ..."]]:
    """Return what a small network of these layers, weights and biases, makes of every element.

    Written out as sums, so that XLA makes one loop of it: no array of channels or hidden units
    exists. With `jax.lax`, because it is hundreds of operations: `jax.numpy` takes four times as
    long to trace them.
    """
    values = list(inputs)
    shape = values[0].shape
    for number, (w, b) in enumerate(layers):
        values = values if number == 0 else [jax.nn.relu(x) for x in values]
        values = [
            functools.reduce(
                jax.lax.add,
                (
                    jax.lax.mul(x, jax.lax.broadcast_in_dim(w[i, unit], shape, ()))
                    for i, x in enumerate(values)
                ),
                jax.lax.broadcast_in_dim(b[unit], shape, ()),
            )
            for unit in range(w.shape[1])
        ]
    return values


def _average(old: Array, new: Array, decays: Float[Array, " decay"]) -> Array:
    kept = decays.reshape((-1,) + (1,) * new.ndim)
    return kept * old + (1.0 - kept) * new[None]
