"""The residual network, of version 1 and 2."""

from __future__ import annotations

import jax
from flax import nnx

from velodrome.taskgen.families.resnet import (
    POOL,
    POOL_STRIDE,
    STEM_STRIDE,
    Block,
    ResNetConfig,
    blocks,
)
from velodrome.taskgen.functions import Dynamic
from velodrome.taskgen.nn.activations import activate
from velodrome.taskgen.nn.conv import conv2d, max_pool
from velodrome.taskgen.nn.initializers import fan_in_truncated_normal
from velodrome.taskgen.nn.layers import BatchNorm
from velodrome.taskgen.views import ImageView


def _kernel(size: int, channels: int, features: int, rngs: nnx.Rngs) -> nnx.Param:
    shape = (size, size, channels, features)
    return nnx.Param(fan_in_truncated_normal()(rngs.params(), shape))


class ResidualBlock(nnx.Module):
    """Three convolutions, added to their input or to a projection of it."""

    def __init__(self, block: Block, version: str, rngs: nnx.Rngs):
        self.block, self.preactivated = block, version == "v2"
        for index, (size, channels, features, _) in enumerate(block.convolutions):
            setattr(self, f"conv_{index}", _kernel(size, channels, features, rngs))
            last = index == 2 and not self.preactivated
            width = channels if self.preactivated else features
            setattr(self, f"norm_{index}", BatchNorm(width, axes=4, scale=0.0 if last else 1.0))
        if block.projection:
            self.projection = _kernel(1, block.channels, block.features, rngs)
            if not self.preactivated:
                self.projection_norm = BatchNorm(block.features, axes=4)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        block, shortcut = self.block, x
        for index, (_, _, _, stride) in enumerate(block.convolutions):
            norm, conv = getattr(self, f"norm_{index}"), getattr(self, f"conv_{index}")
            if self.preactivated:
                x = jax.nn.relu(norm(x, train=train))
                if index == 0 and block.projection:
                    shortcut = conv2d(x, self.projection[...], stride=block.stride)
                x = conv2d(x, conv[...], stride=stride)
            else:
                x = norm(conv2d(x, conv[...], stride=stride), train=train)
                x = jax.nn.relu(x) if index < 2 else x
        if self.preactivated:
            return x + shortcut
        if block.projection:
            shortcut = conv2d(shortcut, self.projection[...], stride=block.stride)
            shortcut = self.projection_norm(shortcut, train=train)
        return jax.nn.relu(x + shortcut)


class ResNet(nnx.Module):
    """A convolution (and pooling), four groups of blocks, global average pool, dense.

    It maps images f32[B,H,W,C] to logits f32[B,classes].
    """

    def __init__(self, config: ResNetConfig, view: ImageView, *, rngs: nnx.Rngs, dynamic: Dynamic):
        del dynamic  # the activation comes in with the call
        self.preactivated = config.version == "v2"
        self.pooled = config.max_pool
        self.stem = _kernel(config.stem_kernel, view.channels, config.stem_channels, rngs)
        if not self.preactivated:
            self.stem_norm = BatchNorm(config.stem_channels, axes=4)
        shapes = blocks(config)
        self.count = len(shapes)
        for index, block in enumerate(shapes):
            setattr(self, f"block_{index}", ResidualBlock(block, config.version, rngs))
        features = shapes[-1].features
        if self.preactivated:
            self.output_norm = BatchNorm(features, axes=4)
        self.output = nnx.Linear(
            features, view.num_classes, kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(self, image: jax.Array, *, train: bool, dynamic: Dynamic) -> jax.Array:
        x = conv2d(image, self.stem[...], stride=STEM_STRIDE)
        if not self.preactivated:
            x = self.stem_norm(x, train=train)
            x = activate(x, dynamic["activation"])
        if self.pooled:
            x = max_pool(x, window=POOL, stride=POOL_STRIDE)
        for index in range(self.count):
            x = getattr(self, f"block_{index}")(x, train)
        if self.preactivated:
            x = activate(self.output_norm(x, train=train), dynamic["activation"])
        return self.output(x.mean(axis=(1, 2)))
