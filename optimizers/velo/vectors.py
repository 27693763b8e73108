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

from velodrome.optimizers.velo.accumulators import TINY, average, average_second, clip, safe_rsqrt
from velodrome.optimizers.velo.channels import ACCUMULATORS
from velodrome.optimizers.velo.grouping import VectorGroup
from velodrome.optimizers.velo.network import Network
from velodrome.optimizers.velo.sums import axis_sums, tensor_sums
from velodrome.optimizers.velo.tensor_statistics import next_means


class VectorState(NamedTuple):
    """Accumulators of a group: momenta, second moment, and squares with three decays."""

    momentum: Float[Array, "3 tensor chunk element"]
    second: Float[Array, "tensor chunk element"]
    squares: Float[Array, "3 tensor chunk element"]


def init_state(group: VectorGroup) -> VectorState:
    """Returns accumulators that have seen no gradient."""
    tensor = (len(group.members), group.chunks, group.chunk)
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
    """Puts a gradient into the accumulators and measures the channels that result.

    Arguments and results are those of `matrices.observe`.
    """
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
    """Returns what is to be added to the parameters; ``networks`` come from `network.prepare`."""
    del group
    network = Network(networks)
    return network.steps(network.first_layer(_channels(state, clip(gradient), parameters), start=0))


def _channels(
    state: VectorState,
    gradient: Float[Array, "tensor chunk element"],
    parameters: Float[Array, "tensor chunk element"],
) -> list[Array]:
    """Returns the inputs of the per-parameter network in the order of `channels`."""
    inverse_root = jax.lax.rsqrt(state.second + 1e-6)
    momenta = jnp.unstack(state.momentum)
    rank_one = [*jnp.unstack(state.squares), *jnp.unstack(jax.lax.rsqrt(state.squares + 1e-8))]
    return [
        gradient,
        parameters,
        jnp.clip(gradient, -0.1, 0.1),
        *momenta,
        state.second,
        *(momentum * inverse_root for momentum in momenta),
        inverse_root,
        gradient * inverse_root,
        *jnp.unstack(gradient[None] * safe_rsqrt(state.squares + 1e-9)),
        # The only channels without an epsilon: TINY alone keeps them finite.
        *jnp.unstack(state.momentum * jax.lax.rsqrt(state.squares)),
        *rank_one,
        *rank_one,
    ]
