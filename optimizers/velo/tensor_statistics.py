"""What the per-tensor LSTM reads: 30 numbers a tensor.

Metz et al. 2022 (arXiv 2211.09760); in the order of class ``HyperV2`` of
google/learned_optimization: fraction of training done (9), loss (9), mean of the second moment
(1), rank (5), variances of the momenta (3) and of the second moment (3).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# Training fractions at which the features switch, each over a width of about 0.1.
_FRACTIONS = (0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1)
_RANKS = 5


class MomentStatistics(NamedTuple):
    """Mean and variance over a tensor of its accumulators, for each tensor."""

    momentum_mean: Float[Array, "tensor 3"]
    momentum_variance: Float[Array, "tensor 3"]
    second_mean: Float[Array, " tensor"]
    second_variance: Float[Array, " tensor"]


class Measured(NamedTuple):
    """What a pass over a group of tensors yields besides their accumulators, for each tensor."""

    mean_square: Float[Array, " tensor"]
    channel_mean_squares: Float[Array, "tensor channels"]
    statistics: MomentStatistics


def initial_statistics(tensors: int) -> MomentStatistics:
    """Returns the statistics of accumulators that are all zero."""
    return MomentStatistics(
        momentum_mean=jnp.zeros((tensors, 3), jnp.float32),
        momentum_variance=jnp.zeros((tensors, 3), jnp.float32),
        second_mean=jnp.zeros((tensors,), jnp.float32),
        second_variance=jnp.zeros((tensors,), jnp.float32),
    )


def lstm_inputs(
    statistics: MomentStatistics,
    *,
    mean_square: Float[Array, " tensor"],
    ranks: Int[Array, " tensor"],
    fraction_trained: Float[Array, ""],
    loss: Float[Array, " 9"],
) -> Float[Array, "tensor 30"]:
    """Returns the inputs of the LSTM.

    Args:
      statistics: Of the accumulators before this update.
      mean_square: Of the parameters of each tensor, before this update.
      ranks: How many dimensions greater than one each tensor has.
      fraction_trained: Updates made over all updates of the run.
      loss: The features of the loss, this update's included.
    """
    tensors = mean_square.shape[0]
    # In units of the tensor's own scale. The second moment too is scaled once, not squared.
    scale = jax.lax.rsqrt(jnp.maximum(1e-9, mean_square))[:, None]
    mean = statistics.momentum_mean * scale
    second_mean = statistics.second_mean[:, None] * scale
    # The published optimizer takes the second moment's variance about the mean of the momentum.
    second_variance = statistics.second_variance[:, None] * scale**2 + (second_mean - mean) ** 2
    shared = jnp.concatenate([_fraction_features(fraction_trained), loss])
    return jnp.concatenate(
        [
            jnp.broadcast_to(shared[None], (tensors, shared.shape[0])),
            _log_magnitude(second_mean),
            jax.nn.one_hot(ranks, _RANKS, dtype=jnp.float32),
            _log_magnitude(statistics.momentum_variance * scale**2),
            _log_magnitude(second_variance),
        ],
        axis=1,
    )


def _fraction_features(fraction: Float[Array, ""]) -> Float[Array, " 9"]:
    return jnp.tanh((fraction - jnp.asarray(_FRACTIONS, jnp.float32)) * 10.0)


def _log_magnitude(x: Array) -> Array:
    return jnp.clip(jnp.log(1e-8 + jnp.abs(x * 10.0)), -5.0, 5.0) * 0.5
