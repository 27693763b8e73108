"""Scalars and vectors: their accumulators, channels, statistics and steps.

A group of `grouping.VectorGroup` is one array ``[tensor, length]``, padded with zeros; where three
decays are kept, their axis comes first. Vectors are not factored: rows and columns of the channels
are the elements themselves.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from optimizers.velo.accumulators import TINY, average, average_second, safe_rsqrt
from optimizers.velo.controller import TensorNetworks
from optimizers.velo.grouping import VectorGroup
from optimizers.velo.network import negative_steps, normalised_first_layer
from optimizers.velo.tensor_statistics import Measured, MomentStatistics


class VectorState(NamedTuple):
    """Accumulators of a group: momenta, second moment, and squares with three decays."""

    momentum: Float[Array, "3 tensor length"]
    second: Float[Array, "tensor length"]
    squares: Float[Array, "3 tensor length"]


def init_state(group: VectorGroup) -> VectorState:
    """Returns accumulators that have seen no gradient."""
    tensor = (len(group.members), group.length)
    return VectorState(
        momentum=jnp.zeros((3, *tensor), jnp.float32),
        second=jnp.zeros(tensor, jnp.float32),
        squares=jnp.zeros((3, *tensor), jnp.float32),
    )


def accumulate(state: VectorState, gradient: Float[Array, "tensor length"]) -> VectorState:
    """Returns the accumulators with one more gradient in them."""
    square = gradient**2
    return VectorState(
        momentum=average(state.momentum, gradient[None]),
        second=average_second(state.second, square),
        squares=average(state.squares, square[None] + TINY),
    )


def _channels(
    state: VectorState,
    gradient: Float[Array, "tensor length"],
    parameters: Float[Array, "tensor length"],
) -> Float[Array, "channels tensor length"]:
    """Returns the inputs of the per-parameter network, not normalised."""
    inverse_root = jax.lax.rsqrt(state.second + 1e-6)
    inverse_squares = jax.lax.rsqrt(state.squares + 1e-8)
    return jnp.concatenate(
        [
            gradient[None],
            jnp.clip(gradient, -0.1, 0.1)[None],
            parameters[None],
            state.momentum,
            state.second[None],
            state.momentum * inverse_root[None],
            inverse_root[None],
            gradient[None] * safe_rsqrt(state.squares + 1e-9),
            (gradient * inverse_root)[None],
            state.squares,
            state.squares,
            inverse_squares,
            inverse_squares,
            # The only channel without an epsilon: TINY alone keeps it finite.
            state.momentum * jax.lax.rsqrt(state.squares),
        ]
    )


def measure(
    group: VectorGroup,
    state: VectorState,
    gradient: Float[Array, "tensor length"],
    parameters: Float[Array, "tensor length"],
    before: MomentStatistics,
) -> Measured:
    """Returns the means over each tensor that its networks need, the padding left out.

    Args:
      group: The group.
      state: The accumulators with this update's gradient.
      gradient: Of this update.
      parameters: Before it.
      before: Not needed: vectors are small enough for means first and variances then.
    """
    del before
    length = group.length
    weights = np.stack(
        [(np.arange(length) < size).astype(np.float32) / np.float32(size) for size in group.sizes]
    )

    def mean(x: Array) -> Array:
        return jnp.sum(x * weights.reshape((1,) * (x.ndim - 2) + weights.shape), axis=-1)

    momentum_mean, second_mean = mean(state.momentum), mean(state.second)
    return Measured(
        mean_square=mean(parameters**2),
        channel_mean_squares=mean(_channels(state, gradient, parameters) ** 2).T,
        statistics=MomentStatistics(
            momentum_mean=momentum_mean.T,
            momentum_variance=mean((state.momentum - momentum_mean[:, :, None]) ** 2).T,
            second_mean=second_mean,
            second_variance=mean((state.second - second_mean[:, None]) ** 2),
        ),
    )


def steps(
    group: VectorGroup,
    state: VectorState,
    gradient: Float[Array, "tensor length"],
    parameters: Float[Array, "tensor length"],
    measured: Measured,
    networks: TensorNetworks,
) -> Float[Array, "tensor length"]:
    """Returns what is to be added to the parameters."""
    del group
    channels = _channels(state, gradient, parameters)
    w0 = normalised_first_layer(networks.w0, measured.channel_mean_squares)
    offsets = [networks.b0[:, unit, None] for unit in range(networks.b0.shape[1])]
    return negative_steps(list(channels), w0, offsets, networks, measured.mean_square)
