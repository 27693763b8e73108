"""The per-parameter network: a few dozen multiply-adds for each parameter.

The layers are written out as sums over channels, not as products of arrays, so that XLA makes one
loop of it all: no array of channels or of hidden units ever exists. Normalising a channel by its
root mean square over the tensor is left to the first layer's weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from optimizers.velo.weights import CHANNELS, WIDTH

#: Outputs that are used: direction and log-magnitude. The published networks have a third.
USED_OUTPUTS = 2

#: Sizes of the parts of a flat network: w0, b0, w1, b1, w2, b2, and how far the tensor steps.
PARTS = (CHANNELS * WIDTH, WIDTH, WIDTH * WIDTH, WIDTH, WIDTH * USED_OUTPUTS, USED_OUTPUTS, 1)

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
    """One flat network a tensor, as scalars that broadcast against arrays ``[tensor, ...]``.

    Args:
      flat: The networks.
      rank: Of the arrays they are to be used with.
    """

    def __init__(self, flat: Float[Array, "tensor flat"], *, rank: int):
        columns = jnp.unstack(flat.reshape(*flat.shape[:1], *(1,) * (rank - 1), FLAT), axis=-1)
        w0, b0, w1, b1, w2, b2, step = np.split(np.arange(FLAT), np.cumsum(PARTS)[:-1])

        def pick(indices: np.ndarray, width: int) -> list[list[Array]]:
            return [[columns[i] for i in row] for row in indices.reshape(-1, width)]

        self.w0, self.w1, self.w2 = pick(w0, WIDTH), pick(w1, WIDTH), pick(w2, USED_OUTPUTS)
        self.b0, self.b1 = pick(b0, WIDTH)[0], pick(b1, WIDTH)[0]
        self.b2, self.step = pick(b2, USED_OUTPUTS)[0], columns[int(step[0])]

    def first_layer(self, channels: Sequence[Array], *, start: int) -> list[Array]:
        """Returns for each hidden unit what these channels, from ``start`` on, add to it."""
        return _products(channels, self.w0[start : start + len(channels)])

    def steps(self, first: Sequence[Array]) -> Array:
        """Returns what is to be added to the parameters, from the first layer's sums."""
        hidden = [jax.nn.relu(x + b) for x, b in zip(first, self.b0, strict=True)]
        hidden = [
            jax.nn.relu(x + b) for x, b in zip(_products(hidden, self.w1), self.b1, strict=True)
        ]
        direction, log_magnitude = (
            x + b for x, b in zip(_products(hidden, self.w2), self.b2, strict=True)
        )
        return self.step * direction * jnp.exp(log_magnitude * _OUTPUT_SCALE)


def _products(inputs: Sequence[Array], weights: Sequence[Sequence[Array]]) -> list[Array]:
    """Returns ``sum_i inputs[i] * weights[i][unit]`` for each unit."""
    totals = [inputs[0] * weight for weight in weights[0]]
    for x, row in zip(inputs[1:], weights[1:], strict=True):
        totals = [total + x * weight for total, weight in zip(totals, row, strict=True)]
    return totals
