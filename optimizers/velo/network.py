"""The per-parameter network: a few dozen multiply-adds for each parameter.

The layers are written out as sums over channels, not as products of arrays, so that XLA makes one
loop of it all: no array of channels or of hidden units ever exists. Normalising a channel by its
root mean square over the tensor is left to the first layer's weights.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from velodrome.optimizers.velo.weights.tree import CHANNELS, WIDTH

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


def prepare(
    networks: Float[Array, "tensor flat"],
    channel_mean_squares: Float[Array, "channels tensor"],
    parameter_mean_square: Float[Array, " tensor"],
) -> Float[Array, "tensor flat"]:
    """Returns networks that take channels as they are and return what to add to the parameters.

    Args:
      networks: As the LSTM writes them: for channels with a mean square of one, and for steps
        in units of the tensor's root mean square.
      channel_mean_squares: Of each channel over each tensor.
      parameter_mean_square: Of the parameters of each tensor.
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

    Args:
      flat: The networks.
    """

    def __init__(self, flat: Float[Array, "tensor flat"]):
        self._flat = flat
        self._starts = np.cumsum((0, *PARTS))

    def first_layer(self, channels: Sequence[Array], *, start: int) -> list[Array]:
        """Returns for each hidden unit what these channels, from ``start`` on, add to it."""
        return self._products(channels, _W0, WIDTH, start=start * WIDTH)

    def steps(self, first: Sequence[Array]) -> Array:
        """Returns what is to be added to the parameters, from the first layer's sums."""
        hidden = [jax.nn.relu(x) for x in self._add_bias(first, _B0)]
        hidden = self._add_bias(self._products(hidden, _W1, WIDTH), _B1)
        hidden = [jax.nn.relu(x) for x in hidden]
        direction, log_magnitude = self._add_bias(self._products(hidden, _W2, USED_OUTPUTS), _B2)
        size = self._like(direction, _STEP, 0)
        return size * direction * jnp.exp(log_magnitude * _OUTPUT_SCALE)

    def _like(self, x: Array, part: int, index: int) -> Array:
        """Returns one number of each network in the shape of ``x``."""
        position = int(self._starts[part]) + index
        column = jax.lax.slice_in_dim(self._flat, position, position + 1, axis=1)
        return jax.lax.broadcast_in_dim(jax.lax.squeeze(column, [1]), x.shape, (0,))

    def _add_bias(self, inputs: Sequence[Array], part: int) -> list[Array]:
        return [jax.lax.add(x, self._like(x, part, unit)) for unit, x in enumerate(inputs)]

    def _products(
        self, inputs: Sequence[Array], part: int, width: int, *, start: int = 0
    ) -> list[Array]:
        """Returns ``sum_i inputs[i] * weights[i][unit]`` for each unit."""
        totals = []
        for unit in range(width):
            terms = [
                jax.lax.mul(x, self._like(x, part, start + i * width + unit))
                for i, x in enumerate(inputs)
            ]
            totals.append(functools.reduce(jax.lax.add, terms))
        return totals
