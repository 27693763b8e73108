"""What VeLO keeps of each tensor, and the 30 numbers that the per-tensor LSTM reads of it.

Kept are three momenta, one second moment and three factored second moments (as in Adafactor,
Shazeer and Stern 2018, arXiv 1804.04235), none of them bias-corrected (Metz et al. 2022, arXiv
2211.09760). The LSTM reads, in the order of class ``HyperV2`` of google/learned_optimization:
fraction of training done (9), loss (9), mean of the second moment (1), rank (5), variances of the
momenta (3) and of the second moment (3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from velodrome.optimizers.velo.reads import ACCUMULATORS, Reads

#: The decays of the momenta, and also of the factored second moments.
DECAYS = np.asarray((0.9, 0.99, 0.999), np.float32)

#: The decay of the second moment.
SECOND_DECAY = np.float32(0.999)

#: Added to squared gradients before they are averaged over rows, columns, or (in vectors) time.
TINY = 1e-30

# Gradients are cut off here before anything else sees them.
_CLIP = 1000.0

# Training fractions at which the features switch, each over a width of about 0.1.
_FRACTIONS = (0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1)
_RANKS = 5


class Statistics(NamedTuple):
    """Mean and variance over each tensor of its accumulators: three momenta, second moment.

    Variances, the last four rows, are kept only where they are read.
    """

    rows: Float[Array, "statistic tensor"]

    @property
    def means(self) -> Float[Array, "4 tensor"]:
        return self.rows[: len(ACCUMULATORS)]

    @property
    def variances(self) -> Float[Array, "variances tensor"]:
        return self.rows[len(ACCUMULATORS) :]


def initial_statistics(tensors: int, *, variances: bool = True) -> Statistics:
    return Statistics(jnp.zeros((len(ACCUMULATORS) * (1 + variances), tensors), jnp.float32))


def next_means(
    means: Float[Array, "4 tensor"],
    gradient_mean: Float[Array, " tensor"],
    square_mean: Float[Array, " tensor"],
) -> list[Float[Array, " tensor"]]:
    """Return the accumulators' means after a gradient: as they are averages, so are their means.

    Args:
      means: Before.
      gradient_mean: The mean of the gradient.
      square_mean: The mean of its square.
    """
    decays = (*DECAYS, SECOND_DECAY)
    added = (*(gradient_mean,) * len(DECAYS), square_mean)
    return [
        decay * old + (np.float32(1.0) - decay) * new
        for decay, old, new in zip(decays, jnp.unstack(means), added, strict=True)
    ]


class Observation(NamedTuple):
    """What an update knows before it has networks.

    Attributes:
      statistics: Those of the accumulators before this update.
      mean_square: For the parameters of each tensor, before this update.
      ranks: How many dimensions greater than one each tensor has; five and more are left out.
      fraction_trained: Updates made over all updates of the run.
      loss: The features of the loss, this update's included.
    """

    statistics: Statistics
    mean_square: Float[Array, " tensor"]
    ranks: tuple[int, ...]
    fraction_trained: Float[Array, ""]
    loss: Float[Array, " 9"]


class LSTMInputs(NamedTuple):
    """The 30 inputs of the LSTM: those that all tensors share, and those of each."""

    shared: Float[Array, "1 18"]
    own: Float[Array, "tensor 12"]


def lstm_inputs(seen: Observation) -> LSTMInputs:
    """Return the inputs of the LSTM."""
    statistics = seen.statistics
    # In units of the tensor's own scale. The second moment too is scaled once, not squared.
    scale = jax.lax.rsqrt(jnp.maximum(1e-9, seen.mean_square))[None]
    momentum_mean, second_mean = jnp.split(statistics.means * scale, [3])
    variances = statistics.variances * scale**2
    # The published optimizer takes the second moment's variance about the means of the momenta.
    second_variance = variances[3:] + (second_mean - momentum_mean) ** 2
    magnitudes = _log_magnitude(jnp.concatenate([second_mean, variances[:3], second_variance]).T)
    one_hot = np.asarray(seen.ranks)[:, None] == np.arange(_RANKS)
    return LSTMInputs(
        shared=shared_inputs(seen.fraction_trained, seen.loss)[None],
        own=jnp.concatenate(
            [magnitudes[:, :1], jnp.asarray(one_hot.astype(np.float32)), magnitudes[:, 1:]], axis=1
        ),
    )


def shared_inputs(
    fraction_trained: Float[Array, ""], loss: Float[Array, " 9"]
) -> Float[Array, " 18"]:
    """Return the inputs that are equal for all tensors; the arguments are as in `Observation`."""
    return jnp.concatenate([_fraction_features(fraction_trained), loss])


def average(old: Array, new: Array, kept: Sequence[int]) -> Array:
    """Return the averages with those of `DECAYS` that are kept, along the first axis."""
    decays = DECAYS[list(kept)].reshape((-1,) + (1,) * (old.ndim - 1))
    return jnp.asarray(decays) * old + jnp.asarray(np.float32(1.0) - decays) * new


def next_averages(
    old: Float[Array, "kept tensor ..."],
    gradient: Float[Array, "tensor ..."],
    square: Float[Array, "tensor ..."],
    reads: Reads,
    *,
    factored: Sequence[int] = (),
) -> Float[Array, "kept tensor ..."]:
    """Return what is kept of each element after a gradient, in one array, so in one loop.

    It is the momenta that are read, the second moment if it is, and for ``factored`` decays the
    squares as `TINY` keeps them from zero.
    """
    momenta = len(reads.momenta)
    seconds = [SECOND_DECAY] * reads.second
    decays = np.asarray([*DECAYS[list(reads.momenta)], *seconds, *DECAYS[list(factored)]])
    added = np.asarray([0.0] * reads.averages + [TINY] * len(factored), np.float32)
    is_momentum = np.arange(len(old)) < momenta
    decays, added, is_momentum = (
        x.reshape((-1,) + (1,) * gradient.ndim) for x in (decays, added, is_momentum)
    )
    new = jnp.where(is_momentum, gradient[None], square[None] + added)
    return jnp.asarray(decays) * old + jnp.asarray(np.float32(1.0) - decays) * new


def clip(gradient: Array) -> Array:
    return jnp.clip(gradient, -_CLIP, _CLIP)


def safe_rsqrt(x: Array) -> Array:
    return jax.lax.rsqrt(jnp.maximum(x, 1e-9))


def _fraction_features(fraction: Float[Array, ""]) -> Float[Array, " 9"]:
    return jnp.tanh((fraction - jnp.asarray(_FRACTIONS, jnp.float32)) * 10.0)


def _log_magnitude(x: Array) -> Array:
    return jnp.clip(jnp.log(1e-8 + jnp.abs(x * 10.0)), -5.0, 5.0) * 0.5
