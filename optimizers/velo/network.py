"""The per-parameter network: a few dozen multiply-adds for each parameter.

Every input channel is divided by its root mean square over the tensor; that factor belongs to
the tensor, so it is folded into the first layer's weights. The layers are written out as sums
over channels instead of products of arrays, so that XLA makes one loop of it all and no array of
features ever exists.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from optimizers.velo.controller import TensorNetworks
from optimizers.velo.weights import WIDTH

# The second output scales the step by its exponential, the step by itself, each times this.
_OUTPUT_SCALE = 0.001


def normalised_first_layer(
    w0: Float[Array, "tensor channels width"], mean_squares: Float[Array, "tensor channels"]
) -> Float[Array, "tensor channels width"]:
    """Returns first-layer weights for channels that are not normalised yet."""
    return w0 * jax.lax.rsqrt(1e-5 + mean_squares)[:, :, None]


def negative_steps(
    channels: Sequence[Array],
    w0: Float[Array, "tensor channels width"],
    offsets: Sequence[Array],
    networks: TensorNetworks,
    mean_square: Float[Array, " tensor"],
) -> Array:
    """Returns what is to be added to the parameters.

    Args:
      channels: The input channels, arrays of one shape whose first axis is the tensor.
      w0: First-layer weights of these channels.
      offsets: For each unit of the first layer what else is added to it, broadcastable.
      networks: The other layers.
      mean_square: Of the parameters of each tensor: a step is relative to its root.
    """
    rank = channels[0].ndim

    def each(of_tensor: Float[Array, " tensor"]) -> Array:
        return of_tensor.reshape(of_tensor.shape + (1,) * (rank - 1))

    first = []
    for unit in range(WIDTH):
        total = offsets[unit]
        for channel, x in enumerate(channels):
            total = total + x * each(w0[:, channel, unit])
        first.append(jax.nn.relu(total))
    second = [
        jax.nn.relu(_affine(first, networks.w1[:, :, unit], networks.b1[:, unit], each))
        for unit in range(WIDTH)
    ]
    direction, log_magnitude = (
        _affine(second, networks.w2[:, :, output], networks.b2[:, output], each)
        for output in range(2)
    )
    scale = networks.step_size * jnp.sqrt(mean_square + 1e-9) * -_OUTPUT_SCALE
    return direction * jnp.exp(log_magnitude * _OUTPUT_SCALE) * each(scale)


def _affine(inputs: Sequence[Array], weights: Array, bias: Array, each) -> Array:
    total = each(bias)
    for i, x in enumerate(inputs):
        total = total + x * each(weights[:, i])
    return total
