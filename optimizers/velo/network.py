"""The per-parameter network: a few dozen multiply-adds on 30 channels of each parameter.

The layers are written out as sums over channels, not as products of arrays, so that XLA makes one
loop of it all: no array of channels or of hidden units ever exists. Normalising a channel by its
root mean square over the tensor is left to the first layer's weights.

Eighteen channels vary with both dimensions of a matrix. Twelve are constant along one of its two
factored dimensions: six repeat the factored second moment that averages over the larger one
("row"), six the other ("column"): the averages with three decays, then their inverse roots. Metz
et al. 2022 (arXiv 2211.09760); class ``HyperV2`` of google/learned_optimization.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from velodrome.optimizers.velo.weights.tree import CHANNELS, INPUT_GROUPS, WIDTH

#: The dense channels: gradient, parameter, clipped gradient, momenta (3), second moment, momenta
#: over its root (3), inverse root, gradient over root, factored gradients (3) and momenta (3).
DENSE = 18

#: Channels constant along one factored dimension, for each of the two.
RANK_ONE = 6

#: Where among the channels the parameter is.
PARAMETER = 1

#: Where the accumulators are: three momenta and the second moment.
ACCUMULATORS = slice(3, 7)

# Which of the checkpoint's input groups belong to each of the three kinds, in our order.
_KINDS = ((0, 2, 1, 3, 4, 5, 6, 8, 7, 13), (9, 11), (10, 12))

#: Outputs that are used: direction and log-magnitude. The published networks have a third.
USED_OUTPUTS = 2

#: Sizes of the parts of a flat network: w0, b0, w1, b1, w2, b2, and how far the tensor steps.
PARTS = (CHANNELS * WIDTH, WIDTH, WIDTH * WIDTH, WIDTH, WIDTH * USED_OUTPUTS, USED_OUTPUTS, 1)

# Their positions among the parts.
_W0, _B0, _W1, _B1, _W2, _B2, _STEP = range(len(PARTS))

#: Numbers in a flat network.
FLAT = sum(PARTS)

# The step is scaled by the exponential of the second output, and by itself, each times this.
_OUTPUT_SCALE = 0.001


def published_order() -> np.ndarray:
    """Return for each of our channels its position in the published first layer."""
    starts = np.cumsum((0, *INPUT_GROUPS))
    return np.concatenate(
        [np.arange(starts[group], starts[group + 1]) for kind in _KINDS for group in kind]
    )


def plain_channels(
    gradient: Array, parameters: Array, momenta: Sequence[Array], second: Array
) -> list[Array]:
    """Return the first twelve dense channels; they do not depend on how a tensor is factored."""
    inverse_root = jax.lax.rsqrt(second + 1e-6)
    return [
        gradient,
        parameters,
        jnp.clip(gradient, -0.1, 0.1),
        *momenta,
        second,
        *(momentum * inverse_root for momentum in momenta),
        inverse_root,
        gradient * inverse_root,
    ]


def rank_one_channels(averages: Float[Array, "3 tensor ..."]) -> list[Array]:
    """Return the channels that are constant along one factored dimension."""
    return [*jnp.unstack(averages), *jnp.unstack(jax.lax.rsqrt(averages + 1e-8))]


def prepare(
    networks: Float[Array, "tensor flat"],
    channel_mean_squares: Float[Array, "channels tensor"],
    parameter_mean_square: Float[Array, " tensor"],
) -> Float[Array, "tensor flat"]:
    """Return networks that take channels as they are and return what to add to the parameters.

    Args:
      networks: As the LSTM writes them: for channels with a mean square of one, and for steps
        in units of the tensor's root mean square.
      channel_mean_squares: For each channel, over each tensor.
      parameter_mean_square: For the parameters of each tensor.
    """
    normalisers = jax.lax.rsqrt(1e-5 + channel_mean_squares)
    scale = jnp.sqrt(parameter_mean_square + 1e-9) * -_OUTPUT_SCALE
    tensors = networks.shape[0]
    return networks * jnp.concatenate(
        [
            jnp.repeat(normalisers.T, WIDTH, axis=1),
            jnp.ones((tensors, FLAT - CHANNELS * WIDTH - 1), jnp.float32),
            scale[:, None],
        ],
        axis=1,
    )


class Network:
    """One flat network a tensor, for channels that are arrays ``[tensor, ...]``.

    Written with `jax.lax`, because it is several hundred operations: `jax.numpy` takes four times
    as long to trace them.
    """

    def __init__(self, flat: Float[Array, "tensor flat"]):
        self._flat = flat
        self._starts = np.cumsum((0, *PARTS))

    def first_layer(self, channels: Sequence[Array], *, start: int) -> list[Array]:
        """Return for each hidden unit what these channels, from ``start`` on, add to it."""
        return self._products(channels, _W0, WIDTH, start=start * WIDTH)

    def steps(self, first: Sequence[Array]) -> Array:
        """Return what to add to the parameters, from the first layer's sums."""
        hidden = [jax.nn.relu(x) for x in self._add_bias(first, _B0)]
        hidden = self._add_bias(self._products(hidden, _W1, WIDTH), _B1)
        hidden = [jax.nn.relu(x) for x in hidden]
        direction, log_magnitude = self._add_bias(self._products(hidden, _W2, USED_OUTPUTS), _B2)
        size = self._like(direction, _STEP, 0)
        return size * direction * jnp.exp(log_magnitude * _OUTPUT_SCALE)

    def _like(self, x: Array, part: int, index: int) -> Array:
        """Return one number of each network in the shape of ``x``."""
        position = int(self._starts[part]) + index
        column = jax.lax.slice_in_dim(self._flat, position, position + 1, axis=1)
        return jax.lax.broadcast_in_dim(jax.lax.squeeze(column, [1]), x.shape, (0,))

    def _add_bias(self, inputs: Sequence[Array], part: int) -> list[Array]:
        return [jax.lax.add(x, self._like(x, part, unit)) for unit, x in enumerate(inputs)]

    def _products(
        self, inputs: Sequence[Array], part: int, width: int, *, start: int = 0
    ) -> list[Array]:
        """Return ``sum_i inputs[i] * weights[i][unit]`` for each unit."""
        totals = []
        for unit in range(width):
            terms = [
                jax.lax.mul(x, self._like(x, part, start + i * width + unit))
                for i, x in enumerate(inputs)
            ]
            totals.append(functools.reduce(jax.lax.add, terms))
        return totals
