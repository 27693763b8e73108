"""The per-parameter network: a few dozen multiply-adds on up to 30 channels of each parameter.

The layers are written out as sums over channels, not as products of arrays, so that XLA makes one
loop of it all: no array of channels or of hidden units ever exists. Normalising a channel by its
root mean square over the tensor is left to the first layer's weights. Channels are given by their
numbers, see `reads`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from velodrome.optimizers.velo.reads import (
    B0,
    B1,
    B2,
    CLIPPED,
    DECAY_COUNT,
    GRADIENT,
    INVERSE_ROOT,
    MOMENTUM,
    NORMALISED_GRADIENT,
    NORMALISED_MOMENTUM,
    PARAMETER,
    PARTS,
    SECOND,
    STARTS,
    STEP,
    USED_OUTPUTS,
    W0,
    W1,
    W2,
    Reads,
)
from velodrome.optimizers.velo.weights.tree import INPUT_GROUPS, WIDTH

# Which of the checkpoint's input groups belong to the dense, row and column channels, in our order.
_KINDS = ((0, 2, 1, 3, 4, 5, 6, 8, 7, 13), (9, 11), (10, 12))

# The step is scaled by the exponential of the second output, and by itself, each times this.
_OUTPUT_SCALE = 0.001


def published_order() -> np.ndarray:
    """Return for each of our channels its position in the published first layer."""
    starts = np.cumsum((0, *INPUT_GROUPS))
    return np.concatenate(
        [np.arange(starts[group], starts[group + 1]) for kind in _KINDS for group in kind]
    )


def plain_channels(
    gradient: Array, parameters: Array, momenta: Mapping[int, Array], second: Array | None
) -> dict[int, Array]:
    """Return the dense channels that do not depend on how a tensor is factored.

    ``momenta`` are by decay. Channels of accumulators that are not kept are left out.
    """
    channels = {
        GRADIENT: gradient,
        PARAMETER: parameters,
        CLIPPED: jnp.clip(gradient, -0.1, 0.1),
        **{MOMENTUM + decay: momentum for decay, momentum in momenta.items()},
    }
    if second is None:
        return channels
    inverse_root = jax.lax.rsqrt(second + 1e-6)
    return channels | {
        SECOND: second,
        **{NORMALISED_MOMENTUM + decay: m * inverse_root for decay, m in momenta.items()},
        INVERSE_ROOT: inverse_root,
        NORMALISED_GRADIENT: gradient * inverse_root,
    }


def rank_one_channels(
    averages: Float[Array, "decay tensor ..."], decays: Sequence[int], *, start: int
) -> dict[int, Array]:
    """Return the channels, from ``start`` on, that are constant along one factored dimension."""
    numbers = [start + offset + decay for offset in (0, DECAY_COUNT) for decay in decays]
    values = [*jnp.unstack(averages), *jnp.unstack(jax.lax.rsqrt(averages + 1e-8))]
    return dict(zip(numbers, values, strict=True))


def prepare(
    reads: Reads,
    networks: Float[Array, "tensor flat"],
    channel_mean_squares: Float[Array, "measured tensor"],
    parameter_mean_square: Float[Array, " tensor"],
) -> Float[Array, "tensor flat"]:
    """Return networks that take channels as they are and return what to add to the parameters.

    Args:
      reads: What the networks have numbers for, and of which channels there are mean squares.
      networks: As the LSTM writes them: for channels with a mean square of one, and for steps
        in units of the tensor's root mean square.
      channel_mean_squares: For each channel that is measured, over each tensor.
      parameter_mean_square: For the parameters of each tensor.
    """
    normalisers = jax.lax.rsqrt(1e-5 + channel_mean_squares)
    scale = jnp.sqrt(parameter_mean_square + 1e-9) * -_OUTPUT_SCALE
    if not reads.magnitude_varies:  # one exponential for the tensor, not one for each element
        magnitude = Network(reads, networks).number(B2, 1)
        scale = scale if magnitude is None else scale * jnp.exp(magnitude * _OUTPUT_SCALE)
    rows = [reads.measured.index(p // WIDTH) for p in reads.network if p < PARTS[W0]]
    tensors, numbers = networks.shape
    return networks * jnp.concatenate(
        [
            normalisers[np.asarray(rows, int)].T,
            jnp.ones((tensors, numbers - len(rows) - 1), jnp.float32),
            scale[:, None],
        ],
        axis=1,
    )


class Network:
    """One flat network a tensor, for channels that are arrays ``[tensor, ...]``; or just one.

    Sums without a term are None. Written with `jax.lax`, because it is several hundred operations:
    `jax.numpy` takes four times as long to trace them.
    """

    def __init__(self, reads: Reads, flat: Float[Array, "*tensor flat"]):
        self._reads = reads
        self._flat = flat

    def first_layer(self, channels: Mapping[int, Array]) -> list[Array | None]:
        """Return for each hidden unit that is not mirrored what these channels add to it."""
        return self._products(channels, W0, WIDTH)

    def rank_one_layer(self, channels: Mapping[int, Array], *, small: bool) -> list[Array | None]:
        """Return what `first_layer` does, for channels of one kind from `rank_one_channels`.

        On a CPU it is a product of arrays, unless they are ``small`` or a number is not there. Sums
        would become part of the loop over all elements, which would add them up again for each.
        """
        numbers = [channel * WIDTH + unit for channel in channels for unit in range(WIDTH)]
        columns = self._reads.columns
        complete = len(channels) == 2 * DECAY_COUNT and all(at in columns for at in numbers)
        if small or not complete or jax.default_backend() != "cpu":
            return self.first_layer(channels)
        first = columns[numbers[0]]  # `Reads.network` is in order
        weights = jax.lax.slice_in_dim(self._flat, first, first + len(numbers), axis=-1)
        weights = weights.reshape(*weights.shape[:-1], len(channels), WIDTH)
        equation = "c...,cu->u..." if weights.ndim == 2 else "ct...,tcu->ut..."
        inputs = jnp.stack(list(channels.values()))
        sums = jnp.einsum(equation, inputs, weights, precision=jax.lax.Precision.HIGHEST)
        return list(jnp.unstack(sums))

    def steps(self, first: Sequence[Array | None], shape: tuple[int, ...]) -> Array:
        """Return what to add to parameters of this shape, from the first layer's sums."""
        first = self._biased(first, B0, shape)
        for unit, other in self._reads.mirrored:
            x = first[other]
            first[unit] = None if x is None else jax.lax.neg(x)
        hidden = _relu(self._biased(self._products(_relu(first), W1, WIDTH), B1, shape))
        direction, log_magnitude = self._products(hidden, W2, USED_OUTPUTS)
        direction = self._add_bias(direction, B2, 0, shape)
        size = self.number(STEP, 0)
        assert size is not None, "every network has a step size"
        if direction is None:
            return jnp.zeros(shape, jnp.float32)
        step = _spread(size, shape) * direction
        if log_magnitude is not None:  # otherwise `prepare` has it in the step size
            log_magnitude = self._add_bias(log_magnitude, B2, 1, shape)
        return step if log_magnitude is None else step * jnp.exp(log_magnitude * _OUTPUT_SCALE)

    def number(self, part: int, index: int) -> Array | float | None:
        """Return one number of each network: one for all if it is fixed, None if it is zero."""
        position = STARTS[part] + index
        column = self._reads.columns.get(position)
        if column is None:
            return self._reads.constants.get(position)
        return jax.lax.index_in_dim(self._flat, column, axis=-1, keepdims=False)

    def _add_bias(
        self, x: Array | None, part: int, index: int, shape: tuple[int, ...]
    ) -> Array | None:
        bias = self.number(part, index)
        if bias is None:
            return x
        return _spread(bias, shape) if x is None else jax.lax.add(x, _spread(bias, shape))

    def _biased(
        self, sums: Sequence[Array | None], part: int, shape: tuple[int, ...]
    ) -> list[Array | None]:
        return [self._add_bias(x, part, unit, shape) for unit, x in enumerate(sums)]

    def _products(self, inputs: Mapping[int, Array], part: int, width: int) -> list[Array | None]:
        """Return ``sum_i inputs[i] * weights[i][unit]`` for each unit."""
        totals = []
        for unit in range(width):
            weights = ((x, self.number(part, i * width + unit)) for i, x in inputs.items())
            terms = [_times(x, w) for x, w in weights if w is not None]
            totals.append(functools.reduce(jax.lax.add, terms) if terms else None)
        return totals


def _relu(units: Sequence[Array | None]) -> dict[int, Array]:
    """Return the units, by number, that are not always zero."""
    return {unit: jax.nn.relu(x) for unit, x in enumerate(units) if x is not None}


def _times(x: Array, number: Float[Array, "*tensor"] | float) -> Array:
    return (
        x if isinstance(number, float) and number == 1 else jax.lax.mul(x, _spread(number, x.shape))
    )


def _spread(number: Float[Array, "*tensor"] | float, shape: tuple[int, ...]) -> Array:
    """Return one number of each tensor in a shape ``[tensor, ...]``, that of one in any shape."""
    if isinstance(number, float):
        return jax.lax.full(shape, number, jnp.float32)
    return jax.lax.broadcast_in_dim(number, shape, range(jnp.ndim(number)))
