"""The U-Net of the MLCommons workload "fastmri", at any size."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from velodrome.taskgen.families.unet import KERNEL, UNetConfig, widths
from velodrome.taskgen.functions import Dynamic
from velodrome.taskgen.nn.conv import conv2d, conv_kernel
from velodrome.taskgen.nn.layers import dropout
from velodrome.taskgen.views import ReconstructionView

EPSILON = 1e-5
SLOPE = 0.2

Map = Callable[[jax.Array], jax.Array]


def instance_norm(x: jax.Array) -> jax.Array:
    """Give each channel of each image f32[B,H,W,C] mean 0 and variance 1."""
    mean = x.mean(axis=(1, 2), keepdims=True)
    variance = jnp.maximum((x * x).mean(axis=(1, 2), keepdims=True) - mean * mean, 0.0)
    return (x - mean) * jax.lax.rsqrt(variance + EPSILON)


class ConvBlock(nnx.Module):
    """Twice: 3x3 convolution, norm, activation, dropout."""

    def __init__(self, channels: int, features: int, rngs: nnx.Rngs):
        self.conv_0 = conv_kernel(KERNEL, channels, features, rngs)
        self.conv_1 = conv_kernel(KERNEL, features, features, rngs)

    def __call__(self, x: jax.Array, activate: Map, drop: Map) -> jax.Array:
        for kernel in (self.conv_0, self.conv_1):
            x = drop(activate(instance_norm(conv2d(x, kernel[...]))))
        return x


class UpBlock(nnx.Module):
    """A transposed 2x2 convolution, whose results do not overlap, norm and activation."""

    def __init__(self, channels: int, features: int, rngs: nnx.Rngs):
        self.kernel = conv_kernel(2, channels, features, rngs)

    def __call__(self, x: jax.Array, activate: Map) -> jax.Array:
        batch, height, width, channels = x.shape
        kernel = self.kernel[...]
        features = kernel.shape[-1]
        up = x @ kernel.transpose(2, 0, 1, 3).reshape(channels, 4 * features)
        up = up.reshape(batch, height, width, 2, 2, features).transpose(0, 1, 3, 2, 4, 5)
        return activate(instance_norm(up.reshape(batch, 2 * height, 2 * width, features)))


class UNet(nnx.Module):
    """Down by average pools and up by transposed convolutions, with the way down beside.

    It maps images f32[B,H,W] to f32[B,H,W].
    """

    def __init__(
        self, config: UNetConfig, view: ReconstructionView, *, rngs: nnx.Rngs, dynamic: Dynamic
    ):
        del dynamic, view  # there are no dynamic choices, and no arrays of the size of an image
        self.pools, self.rate = config.num_pools, config.dropout
        self.smooth = config.activation == "tanh"
        *levels, lowest = widths(config)
        for level, features in enumerate(levels):
            before = levels[level - 1] if level else 1
            setattr(self, f"down_{level}", ConvBlock(before, features, rngs))
            setattr(self, f"up_{level}", UpBlock(2 * features, features, rngs))
            setattr(self, f"merge_{level}", ConvBlock(2 * features, features, rngs))
        self.lowest = ConvBlock(levels[-1], lowest, rngs)
        self.output = conv_kernel(1, levels[0], 1, rngs)
        self.output_bias = nnx.Param(jnp.zeros((1,), jnp.float32))

    def __call__(self, image: jax.Array, *, train: bool, key: jax.Array) -> jax.Array:
        drop = self._dropping(key) if train and self.rate else lambda x: x
        x, skips = image[..., None], []
        for level in range(self.pools):
            x = getattr(self, f"down_{level}")(x, self._activate, drop)
            skips.append(x)
            x = _halve(x)
        x = self.lowest(x, self._activate, drop)
        for level in reversed(range(self.pools)):
            x = getattr(self, f"up_{level}")(x, self._activate)
            x = jnp.concatenate([_like(x, skips[level]), skips[level]], axis=-1)
            x = getattr(self, f"merge_{level}")(x, self._activate, drop)
        bias = self.output_bias[...][None, None, None]
        return (x @ self.output[...][0, 0] + bias)[..., 0]

    def _activate(self, x: jax.Array) -> jax.Array:
        return jnp.tanh(x) if self.smooth else jnp.where(x >= 0, x, SLOPE * x)

    def _dropping(self, key: jax.Array) -> Map:
        keys = iter(jax.random.split(key, 4 * self.pools + 2))
        return lambda x: dropout(x, self.rate, next(keys), shape=(x.shape[0], 1, 1, x.shape[-1]))


def _halve(x: jax.Array) -> jax.Array:
    """Average squares of 2x2 pixels; a last row or column that is left over is dropped."""
    batch, height, width, channels = x.shape
    even = x[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(batch, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


def _like(x: jax.Array, other: jax.Array) -> jax.Array:
    """Mirror the last row and column but one of x, where the other has one more."""
    more = [(0, there - here) for here, there in zip(x.shape[1:3], other.shape[1:3], strict=True)]
    return jnp.pad(x, ((0, 0), *more, (0, 0)), mode="reflect")
