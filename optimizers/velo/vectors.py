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
    clip,
    next_averages,
    next_means,
    safe_rsqrt,
)


class VectorState(NamedTuple):
    """Accumulators of a group, those that are read: momenta, second moment, factored ones."""

    averages: Float[Array, "kept tensor chunk element"]


def init_state(group: VectorGroup, reads: Reads) -> VectorState:
    kept = reads.averages + len(reads.factored)
    return VectorState(averages=jnp.zeros((kept, *group.stacked), jnp.float32))


def observe(
    group: VectorGroup,
    reads: Reads,
    state: VectorState,
    gradient: Float[Array, "tensor chunk element"],
    parameters: Float[Array, "tensor chunk element"],
    means: Float[Array, "4 tensor"],
) -> tuple[
    VectorState,
    Float[Array, " tensor"],
    dict[int, Float[Array, " tensor"]],
    list[Float[Array, "_ tensor"]],
]:
    """Put a gradient into the accumulators and measure the channels: see `matrices.observe`."""
    gradient = clip(gradient)
    square = gradient**2
    new = VectorState(
        next_averages(state.averages, gradient, square, reads, factored=reads.factored)
    )
    sizes = jnp.asarray(np.asarray(group.sizes, np.float32))
    total, square_total = sums_by_tensor([gradient, square])
    after = next_means(means, total / sizes, square_total / sizes)

    channels = _channels(reads, new, gradient, parameters)
    terms = {channel: channels[channel] for channel in reads.measured}
    for channel in terms.keys() & set(ACCUMULATORS):
        terms[channel] -= after[channel - MOMENTUM][:, None, None]
    # Some channels are not zero where a vector is padded, so the padding is left out by hand.
    position = jnp.arange(group.chunks * group.chunk).reshape(1, group.chunks, group.chunk)
    inside = position < jnp.asarray(group.sizes)[:, None, None]
    squares = [jnp.where(inside, x**2, 0.0) for x in terms.values()]
    totals = sums_by_tensor(squares, in_parts=group.light)
    sums = dict(zip(terms, totals, strict=True))
    rank_one = [sums.pop(channel)[None] for channel in terms if channel >= ROW]
    return new, total, sums, rank_one


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
    averages, factored = jnp.split(state.averages, [reads.averages])
    momenta, second = reads.momenta_and_second(averages)
    squares = dict(zip(reads.factored, jnp.unstack(factored), strict=True))
    channels = plain_channels(gradient, parameters, momenta, second)
    channels |= {FACTORED_GRADIENT + d: gradient * safe_rsqrt(x + 1e-9) for d, x in squares.items()}
    # The only channels without an epsilon: TINY alone keeps them finite.
    channels |= {
        FACTORED_MOMENTUM + d: _over_root(momenta[d], x) for d, x in squares.items() if d in momenta
    }
    for start in (ROW, COLUMN):
        channels |= rank_one_channels(factored, reads.factored, start=start)
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
