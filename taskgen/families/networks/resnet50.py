"""ResNet-50 as the MLCommons workload has it, at any size."""

from __future__ import annotations

import jax
from flax import nnx

from velodrome.taskgen.families.resnet50 import (
    POOL,
    POOL_PADDING,
    POOL_STRIDE,
    STEM_KERNEL,
    STEM_PADDING,
    STEM_STRIDE,
    Block,
    ResNet50Config,
    blocks,
)
from velodrome.taskgen.functions import Dynamic
from velodrome.taskgen.nn.activations import activate
from velodrome.taskgen.nn.choices import ACTIVATIONS
from velodrome.taskgen.nn.conv import conv2d, conv_kernel, max_pool
from velodrome.taskgen.nn.images import standardize
from velodrome.taskgen.nn.losses import Prediction
from velodrome.taskgen.views import ImageView

MOMENTUM, EPSILON = 0.9, 1e-5
OUTPUT_STD = 0.01


def _norm(size: int, rngs: nnx.Rngs, scale: float = 1.0) -> nnx.BatchNorm:
    return nnx.BatchNorm(
        size,
        momentum=MOMENTUM,
        epsilon=EPSILON,
        scale_init=nnx.initializers.constant(scale),
        rngs=rngs,
    )


class BottleneckBlock(nnx.Module):
    """Three convolutions, added to their input or to a projection of it."""

    def __init__(self, block: Block, config: ResNet50Config, rngs: nnx.Rngs):
        self.block, self.activation = block, ACTIVATIONS.index(config.activation)
        for index, (size, channels, features, _) in enumerate(block.convolutions):
            setattr(self, f"conv_{index}", conv_kernel(size, channels, features, rngs))
            scale = config.last_scale if index == 2 else 1.0
            setattr(self, f"norm_{index}", _norm(features, rngs, scale))
        if block.projection:
            self.projection = conv_kernel(1, block.channels, block.features, rngs)
            self.projection_norm = _norm(block.features, rngs)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        shortcut = x
        for index, (_, _, _, stride) in enumerate(self.block.convolutions):
            kernel, norm = getattr(self, f"conv_{index}"), getattr(self, f"norm_{index}")
            x = norm(conv2d(x, kernel[...], stride=stride), use_running_average=not train)
            x = activate(x, self.activation) if index < 2 else x
        if self.block.projection:
            shortcut = conv2d(shortcut, self.projection[...], stride=self.block.stride)
            shortcut = self.projection_norm(shortcut, use_running_average=not train)
        return activate(x + shortcut, self.activation)


class ResNet50(nnx.Module):
    """A convolution and pooling, four stages of blocks, global average pool, dense.

    It maps images f32[B,H,W,C] from 0 to 1 to a `Prediction` of the classes.
    """

    def __init__(
        self, config: ResNet50Config, view: ImageView, *, rngs: nnx.Rngs, dynamic: Dynamic
    ):
        del dynamic  # there are no dynamic choices
        self.activation = ACTIVATIONS.index(config.activation)
        self.label_smoothing = config.label_smoothing
        self.stem = conv_kernel(STEM_KERNEL, view.channels, config.base_channels, rngs)
        self.stem_norm = _norm(config.base_channels, rngs)
        shapes = blocks(config)
        self.count = len(shapes)
        for index, block in enumerate(shapes):
            setattr(self, f"block_{index}", BottleneckBlock(block, config, rngs))
        self.output = nnx.Linear(
            shapes[-1].features,
            view.num_classes,
            kernel_init=nnx.initializers.normal(OUTPUT_STD),
            rngs=rngs,
        )

    def __call__(self, image: jax.Array, *, train: bool) -> Prediction:
        x = standardize(image)
        x = conv2d(x, self.stem[...], stride=STEM_STRIDE, padding=STEM_PADDING)
        x = activate(self.stem_norm(x, use_running_average=not train), self.activation)
        x = max_pool(x, window=POOL, stride=POOL_STRIDE, padding=POOL_PADDING)
        for index in range(self.count):
            x = getattr(self, f"block_{index}")(x, train)
        logits = self.output(x.mean(axis=(1, 2)))
        return Prediction(logits, self.label_smoothing if train else 0.0)
