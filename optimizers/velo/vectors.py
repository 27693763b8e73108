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
from velodrome.optimizers.velo.network import Network, plain_channels, rank_one_channels
from velodrome.optimizers.velo.reads import (
    ACCUMULATORS,
    COLUMN,
    FACTORED_GRADIENT,
    FACTORED_MOMENTUM,
    MOMENTUM,
    ROW,
    Reads,
)
from velodrome.optimizers.velo.sums import sums_by_tensor
from velodrome.optimizers.velo.tensor_statistics import (
    TINY,
    average,
    average_second,
    clip,
    next_means,
    safe_rsqrt,
)


class VectorState(NamedTuple):
    """Accumulators of a group: momenta, second moment, and squares; those that are read."""

    momentum: Float[Array, "momenta tensor chunk element"]
    second: Float[Array, "tensor chunk element"] | None
    squares: Float[Array, "factored tensor chunk element"]


def init_state(group: VectorGroup, reads: Reads) -> VectorState:
    tensor = group.stacked
    return VectorState(
        momentum=jnp.zeros((len(reads.momenta), *tensor), jnp.float32),
        second=jnp.zeros(tensor, jnp.float32) if reads.second else None,
        squares=jnp.zeros((len(reads.factored), *tensor), jnp.float32),
    )


def observe(
    group: VectorGroup,
    reads: Reads,
    state: VectorState,
    gradient: Float[Array, "tensor chunk element"],
    parameters: Float[Array, "tensor chunk element"],
    means: Float[Array, "4 tensor"],
) -> tuple[VectorState, Float[Array, "4 tensor"], Float[Array, "measured tensor"]]:
    """Put a gradient into the accumulators and measure the channels: see `matrices.observe`."""
    gradient = clip(gradient)
    square = gradient**2
    new = VectorState(
        momentum=average(state.momentum, gradient[None], reads.momenta),
        second=None if state.second is None else average_second(state.second, square),
        squares=average(state.squares, square[None] + TINY, reads.factored),
    )
    sizes = jnp.asarray(np.asarray(group.sizes, np.float32)[None])
    means = next_means(means, sums_by_tensor([gradient, square]) / sizes)

    channels = _channels(reads, new, gradient, parameters)
    terms = {channel: channels[channel] for channel in reads.measured}
    for channel in terms.keys() & set(ACCUMULATORS):
        terms[channel] -= means[channel - MOMENTUM, :, None, None]
    # Some channels are not zero where a vector is padded, so the padding is left out by hand.
    position = jnp.arange(group.chunks * group.chunk).reshape(1, group.chunks, group.chunk)
    inside = position < jnp.asarray(group.sizes)[:, None, None]
    squares = [jnp.where(inside, x**2, 0.0) for x in terms.values()]
    return new, means, sums_by_tensor(squares) / sizes


def steps(
    group: VectorGroup,
    reads: Reads,
    state: VectorState,
    gradient: Float[Array, "tensor chunk element"],
    parameters: Float[Array, "tensor chunk element"],
    networks: Float[Array, "tensor flat"],
) -> Float[Array, "tensor chunk element"]:
    del group
    network = Network(reads, networks)
    channels = _channels(reads, state, clip(gradient), parameters)
    return network.steps(network.first_layer(channels), gradient.shape)


def _channels(
    reads: Reads,
    state: VectorState,
    gradient: Float[Array, "tensor chunk element"],
    parameters: Float[Array, "tensor chunk element"],
) -> dict[int, Array]:
    """Return the inputs of the per-parameter network, of the accumulators that are kept."""
    momenta = dict(zip(reads.momenta, jnp.unstack(state.momentum), strict=True))
    squares = dict(zip(reads.factored, jnp.unstack(state.squares), strict=True))
    channels = plain_channels(gradient, parameters, momenta, state.second)
    channels |= {FACTORED_GRADIENT + d: gradient * safe_rsqrt(x + 1e-9) for d, x in squares.items()}
    # The only channels without an epsilon: TINY alone keeps them finite.
    channels |= {
        FACTORED_MOMENTUM + d: _over_root(momenta[d], x) for d, x in squares.items() if d in momenta
    }
    for start in (ROW, COLUMN):
        channels |= rank_one_channels(state.squares, reads.factored, start=start)
    return channels


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
