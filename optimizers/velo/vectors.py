"""Scalars and vectors: their accumulators, channels and steps.

A group of `grouping.VectorGroup` is one array ``[tensor, chunk, element]``, padded with zeros;
where three decays are kept, their axis comes first. Vectors are not factored: in the channels, rows
and columns are the elements themselves.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from velodrome.optimizers.velo.grouping import VectorGroup
from velodrome.optimizers.velo.network import (
    ACCUMULATORS,
    Network,
    plain_channels,
    rank_one_channels,
)
from velodrome.optimizers.velo.tensor_statistics import (
    TINY,
    average,
    average_second,
    axis_sums,
    clip,
    next_means,
    safe_rsqrt,
    tensor_sums,
)


class VectorState(NamedTuple):
    """Accumulators of a group: momenta, second moment, and squares with three decays."""

    momentum: Float[Array, "3 tensor chunk element"]
    second: Float[Array, "tensor chunk element"]
    squares: Float[Array, "3 tensor chunk element"]


def init_state(group: VectorGroup) -> VectorState:
    tensor = group.stacked
    return VectorState(
        momentum=jnp.zeros((3, *tensor), jnp.float32),
        second=jnp.zeros(tensor, jnp.float32),
        squares=jnp.zeros((3, *tensor), jnp.float32),
    )


def observe(
    group: VectorGroup,
    state: VectorState,
    gradient: Float[Array, "tensor chunk element"],
    parameters: Float[Array, "tensor chunk element"],
    means: Float[Array, "4 tensor"],
) -> tuple[VectorState, Float[Array, "4 tensor"], Float[Array, "channels tensor"]]:
    """Put a gradient into the accumulators and measure the channels: see `matrices.observe`."""
    gradient = clip(gradient)
    square = gradient**2
    new = VectorState(
        momentum=average(state.momentum, gradient[None]),
        second=average_second(state.second, square),
        squares=average(state.squares, square[None] + TINY),
    )
    sizes = jnp.asarray(np.asarray(group.sizes, np.float32)[None])
    sums = axis_sums([gradient, square], axis=-1)
    means = next_means(means, tensor_sums(jnp.stack(sums)) / sizes)

    terms = _channels(new, gradient, parameters)
    centred = zip(terms[ACCUMULATORS], jnp.unstack(means[:, :, None, None]), strict=True)
    terms[ACCUMULATORS] = [x - mean for x, mean in centred]
    # Some channels are not zero where a vector is padded, so the padding is left out by hand.
    position = jnp.arange(group.chunks * group.chunk).reshape(1, group.chunks, group.chunk)
    inside = position < jnp.asarray(group.sizes)[:, None, None]
    sums = axis_sums([jnp.where(inside, x**2, 0.0) for x in terms], axis=-1)
    return new, means, tensor_sums(jnp.stack(sums)) / sizes


def steps(
    group: VectorGroup,
    state: VectorState,
    gradient: Float[Array, "tensor chunk element"],
    parameters: Float[Array, "tensor chunk element"],
    networks: Float[Array, "tensor flat"],
) -> Float[Array, "tensor chunk element"]:
    del group
    network = Network(networks)
    return network.steps(network.first_layer(_channels(state, clip(gradient), parameters), start=0))


def _channels(
    state: VectorState,
    gradient: Float[Array, "tensor chunk element"],
    parameters: Float[Array, "tensor chunk element"],
) -> list[Array]:
    """Return the inputs of the per-parameter network in the order of `network`."""
    rank_one = rank_one_channels(state.squares)
    return [
        *plain_channels(gradient, parameters, jnp.unstack(state.momentum), state.second),
        *jnp.unstack(gradient[None] * safe_rsqrt(state.squares + 1e-9)),
        # The only channels without an epsilon: TINY alone keeps them finite.
        *jnp.unstack(_over_root(state.momentum, state.squares)),
        *rank_one,
        *rank_one,
    ]


@jax.custom_jvp
def _over_root(momentum: Array, squares: Array) -> Array:
    return momentum * jax.lax.rsqrt(squares)


@_over_root.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    # The third power of the inverse root is infinite where all gradients were zero, and there it
    # is multiplied by zero: so it is never computed.
    momentum, squares = primals
    inverse = jax.lax.rsqrt(squares)
    quotient = momentum * inverse
    return quotient, inverse * (tangents[0] - 0.5 * quotient * (inverse * tangents[1]))
