"""What VeLO keeps of each tensor, and the 30 numbers that the per-tensor LSTM reads of it.

Kept are three momenta, one second moment and three factored second moments (as in Adafactor,
Shazeer and Stern 2018, arXiv 1804.04235), none of them bias-corrected (Metz et al. 2022, arXiv
2211.09760). The LSTM reads, in the order of class ``HyperV2`` of google/learned_optimization:
fraction of training done (9), loss (9), mean of the second moment (1), rank (5), variances of the
momenta (3) and of the second moment (3).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

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

    Variances are kept only where they are read.
    """

    means: Float[Array, "4 tensor"]
    variances: Float[Array, "variances tensor"]


def initial_statistics(tensors: int, *, variances: bool = True) -> Statistics:
    return Statistics(
        means=jnp.zeros((4, tensors), jnp.float32),
        variances=jnp.zeros((4 if variances else 0, tensors), jnp.float32),
    )


def next_means(
    means: Float[Array, "4 tensor"], gradient_means: Float[Array, "2 tensor"]
) -> Float[Array, "4 tensor"]:
    """Return the accumulators' means after a gradient: as they are averages, so are their means.

    Args:
      means: Before.
      gradient_means: Means of the gradient and of its square.
    """
    momentum = average(means[:3], gradient_means[:1], range(len(DECAYS)))
    return jnp.concatenate([momentum, average_second(means[3:], gradient_means[1:])])


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


def lstm_inputs(seen: Observation) -> Float[Array, "tensor 30"]:
    """Return the inputs of the LSTM."""
    statistics = seen.statistics
    # In units of the tensor's own scale. The second moment too is scaled once, not squared.
    scale = jax.lax.rsqrt(jnp.maximum(1e-9, seen.mean_square))[None]
    momentum_mean, second_mean = jnp.split(statistics.means * scale, [3])
    variances = statistics.variances * scale**2
    # The published optimizer takes the second moment's variance about the means of the momenta.
    second_variance = variances[3:] + (second_mean - momentum_mean) ** 2
    magnitudes = _log_magnitude(jnp.concatenate([second_mean, variances[:3], second_variance]).T)
    shared = shared_inputs(seen.fraction_trained, seen.loss)
    one_hot = np.asarray(seen.ranks)[:, None] == np.arange(_RANKS)
    return jnp.concatenate(
        [
            jnp.broadcast_to(shared[None], (len(seen.ranks), shared.shape[0])),
            magnitudes[:, :1],
            jnp.asarray(one_hot.astype(np.float32)),
            magnitudes[:, 1:],
        ],
        axis=1,
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


def average_second(old: Array, new: Array) -> Array:
    return SECOND_DECAY * old + (np.float32(1.0) - SECOND_DECAY) * new


def clip(gradient: Array) -> Array:
    return jnp.clip(gradient, -_CLIP, _CLIP)


def safe_rsqrt(x: Array) -> Array:
    return jax.lax.rsqrt(jnp.maximum(x, 1e-9))


def axis_sums(terms: Sequence[Array], *, axis: int) -> list[Array]:
    """Return the sums over one of the last two axes of each of ``terms``, arrays of one shape."""
    # XLA's CPU compiler writes the operand of a plain `jax.numpy.sum` to memory first. It makes one
    # loop of a reduction with several results, which reads its inputs once and writes nothing else.
    # That loop adds one number at a time, unless the reduction is so short that it is unrolled:
    # then the loop over what is left runs in vectors. So long sums are made in short steps. Float32
    # keeps more digits that way, too.
    axis %= terms[0].ndim
    while few := _short(terms, axis):
        length = terms[0].shape[axis]
        if rest := length % few:
            cut = (0, length - rest, length)
            parts = (
                [jax.lax.slice_in_dim(x, *ends, axis=axis) for x in terms]
                for ends in itertools.pairwise(cut)
            )
            first, last = (axis_sums(part, axis=axis) for part in parts)
            return [a + b for a, b in zip(first, last, strict=True)]
        terms = _short_sums(terms, axis, few)
    return list(_axis_sums(axis, *terms))


def sums_by_tensor(terms: Sequence[Array]) -> Float[Array, "term tensor"]:
    """Return the sums of arrays ``[tensor, ..., rows, columns]`` over all axes but the first."""
    columns = terms[0].ndim - 1
    axes = (columns, columns - 1)
    while axis := next((a for a in axes if _divides(terms, a)), 0):
        terms = _short_sums(terms, axis, _short(terms, axis))
    sums = axis_sums(terms, axis=-1)
    return tensor_sums(jnp.stack(sums))


def _short(terms: Sequence[Array], axis: int) -> int:
    """Return how many numbers to add at first along an axis, or 0 for all of them."""
    if jax.default_backend() != "cpu":  # which takes care of that itself
        return 0
    shape, size = terms[0].shape, terms[0].size
    most = min(_UNROLLED // len(terms), _VECTOR)
    if axis == len(shape) - 1:  # what is left of the axis is what the loop runs over
        most = min(most, shape[axis] // _VECTOR)
    few = shape[axis] <= most or shape[-1] < _VECTOR or size < _FEW
    # First sums of many terms are more numbers than they add up.
    many = len(terms) > most and size > _CACHED
    if few or many:
        return 0
    divisors = (few for few in range(most, _LEAST - 1, -1) if shape[axis] % few == 0)
    return next(divisors, most if _LEAST <= most >= len(terms) else 0)


def _divides(terms: Sequence[Array], axis: int) -> bool:
    few = _short(terms, axis)
    return few > 0 and terms[0].shape[axis] % few == 0


def _short_sums(terms: Sequence[Array], axis: int, few: int) -> Sequence[Array]:
    """Return the sums of each ``few`` numbers along an axis, of the last two."""
    shape = terms[0].shape
    left = shape[axis] // few
    last = axis == len(shape) - 1
    cut = (few, left) if last else (left, few)
    blocks = [x.reshape(*shape[:axis], *cut, *shape[axis + 1 :]) for x in terms]
    return _axis_sums(axis if last else axis + 1, *blocks)


#: A reduction is unrolled if its length times the number of its results is at most this.
_UNROLLED = 48

#: Shorter ones write too much for what they save.
_LEAST = 3

#: Elements that a CPU takes at once.
_VECTOR = 8

#: Fewer elements are added faster one by one than in two loops.
_FEW = 256

#: Arrays of at most this many elements stay in a CPU's cache, with all that an update reads.
_CACHED = 1 << 17


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _axis_sums(axis: int, *terms: Array) -> tuple[Array, ...]:
    return jax.lax.reduce(
        terms,
        (jnp.float32(0),) * len(terms),
        lambda sums, values: tuple(a + b for a, b in zip(sums, values, strict=True)),
        dimensions=(axis,),
    )


@_axis_sums.defjvp
def _(axis: int, terms: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[tuple, tuple]:
    # A reduction with several results has no derivative of its own.
    return _axis_sums(axis, *terms), tuple(jnp.sum(tangent, axis) for tangent in tangents)


def tensor_sums(rows: Array) -> Array:
    """Return the sums of an array ``[term, tensor, ...]`` over all but its first two axes."""
    return jnp.sum(rows.reshape(*rows.shape[:2], -1), axis=-1)


def _fraction_features(fraction: Float[Array, ""]) -> Float[Array, " 9"]:
    return jnp.tanh((fraction - jnp.asarray(_FRACTIONS, jnp.float32)) * 10.0)


def _log_magnitude(x: Array) -> Array:
    return jnp.clip(jnp.log(1e-8 + jnp.abs(x * 10.0)), -5.0, 5.0) * 0.5
