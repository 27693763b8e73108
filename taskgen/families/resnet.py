"""Image classification by a residual network (``image_resnet`` of the published tasks).

Four groups of bottleneck blocks (He et al. 2015, 1512.03385): 1x1, 3x3, 1x1 convolutions with a
quarter of the channels inside. The sampled family is version 1; the published fixed tasks
(``Resnet_MultiRuntime_*``) are version 2, with the normalisation before each convolution (He et
al. 2016, 1603.05027).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family, deferred
from velodrome.taskgen.nn import activations, costing, initializers
from velodrome.taskgen.nn.normalizers import deep_classification
from velodrome.taskgen.space.config import boolean, choice, fixed, log_int, static
from velodrome.taskgen.space.draws import Draws
from velodrome.taskgen.spec import TaskSpec

GROUPS = (1, 2, 3, 4)
GROUP_STRIDES = (1, 2, 2, 2)
STEM_STRIDE = 2
BOTTLENECK = 4
POOL, POOL_STRIDE = 3, 2
PATTERNS = ("1-1-1-1", "1-2-4-8", "1-2-2-4", "1-2-2-2", "1-2-4-4")
MAX_BLOCKS = 10


@dataclass(frozen=True)
class Blocks:
    """Log-uniform up to a number that the four groups draw together."""

    def sample(self, draws: Draws, name: str) -> int:
        """Returns the blocks of a group."""
        most = log_int(1, MAX_BLOCKS).sample(draws, "max_blocks")
        return log_int(1, most).sample(draws, name) if most > 1 else 1

    def describe(self) -> str:
        """Returns the distribution in words."""
        together = log_int(1, MAX_BLOCKS).describe()
        return f"log-uniform integer in [1, m), with m one {together} for the four groups"


def _blocks() -> Any:
    return static(Blocks(), allowed=(1, 64), default=1)


@dataclass(frozen=True)
class ResNetConfig:
    """Config of the family "resnet"; distributions of Metz et al. 2022 (arXiv 2211.09760).

    The published code draws a stride of the first convolution and does not use it: it is 2.

    Attributes:
      version: "v1": convolution, norm, activation, with a rectifier after each sum; the scale of
        a block's last norm starts at 0. "v2": norm, rectifier, convolution, and a last norm and
        rectifier before the pooling.
      blocks_1: Blocks of the first group; the others have a first block of stride 2.
      blocks_2: Blocks of the second group.
      blocks_3: Blocks of the third group.
      blocks_4: Blocks of the fourth group.
      base_channels: Output channels of the groups, times ``channel_pattern``.
      channel_pattern: Multiples of ``base_channels``, for each group.
      stem_kernel: Height and width of the kernel of the first convolution, which has stride 2.
      stem_channels: Output channels of the first convolution.
      max_pool: Whether a 3x3 maximum with stride 2 follows it.
      image_size: Height and width in pixels that images are resized to.
      activation: After the first norm of "v1", and nowhere else: blocks use rectifiers.
    """

    version: str = static(fixed("v1"), allowed=("v1", "v2"), default="v1")
    blocks_1: int = _blocks()
    blocks_2: int = _blocks()
    blocks_3: int = _blocks()
    blocks_4: int = _blocks()
    base_channels: int = static(log_int(8, 256), allowed=(BOTTLENECK, 4096), default=16)
    channel_pattern: str = static(choice(PATTERNS), default="1-2-4-8")
    stem_kernel: int = static(choice((3, 5, 7)), allowed=(1, 15), default=3)
    stem_channels: int = static(log_int(8, 64), allowed=(1, 4096), default=64)
    max_pool: bool = static(boolean(), default=True)
    image_size: int = static(log_int(8, 64), allowed=(1, 256), default=32)
    activation: str = activations.activation_field()


@dataclass(frozen=True)
class Block:
    """Shape of a block: channels in and out, stride, and whether its shortcut is a convolution."""

    channels: int
    features: int
    stride: int
    projection: bool

    @property
    def convolutions(self) -> tuple[tuple[int, int, int, int], ...]:
        """(kernel, channels, features, stride) of the three."""
        inner = self.features // BOTTLENECK
        return (
            (1, self.channels, inner, 1),
            (3, inner, inner, self.stride),
            (1, inner, self.features, 1),
        )


def blocks(config: ResNetConfig) -> list[Block]:
    """Returns the blocks of a network, from first to last."""
    made, channels = [], config.stem_channels
    multiples = map(int, config.channel_pattern.split("-"))
    for group, multiple, stride in zip(GROUPS, multiples, GROUP_STRIDES, strict=True):
        features = multiple * config.base_channels
        for index in range(getattr(config, f"blocks_{group}")):
            first = index == 0
            made.append(Block(channels, features, stride if first else 1, first))
            channels = features
    return made


@deferred
def network() -> type:
    """Defines the network: images f32[B,H,W,C] to logits f32[B,classes]."""
    import jax
    from flax import nnx

    from velodrome.taskgen.nn.conv import conv2d, max_pool
    from velodrome.taskgen.nn.layers import BatchNorm

    kernel_init = initializers.fan_in_truncated_normal()

    def kernel(size, channels, features, rngs):
        return nnx.Param(kernel_init(rngs.params(), (size, size, channels, features)))

    class ResidualBlock(nnx.Module):
        """Three convolutions, added to their input or to a projection of it."""

        def __init__(self, block, version, rngs):
            self.block, self.preactivated = block, version == "v2"
            for index, (size, channels, features, _) in enumerate(block.convolutions):
                setattr(self, f"conv_{index}", kernel(size, channels, features, rngs))
                last = index == 2 and not self.preactivated
                width = channels if self.preactivated else features
                setattr(self, f"norm_{index}", BatchNorm(width, axes=4, scale=0.0 if last else 1.0))
            if block.projection:
                self.projection = kernel(1, block.channels, block.features, rngs)
                if not self.preactivated:
                    self.projection_norm = BatchNorm(block.features, axes=4)

        def __call__(self, x, train):
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
        """A convolution (and pooling), four groups of blocks, global average pool, dense."""

        def __init__(self, config, view, *, rngs, dynamic):
            del dynamic  # the activation comes in with the call
            self.preactivated = config.version == "v2"
            self.pooled = config.max_pool
            self.stem = kernel(config.stem_kernel, view.channels, config.stem_channels, rngs)
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

        def __call__(self, image, *, train, dynamic):
            x = conv2d(image, self.stem[...], stride=STEM_STRIDE)
            if not self.preactivated:
                x = self.stem_norm(x, train=train)
                x = activations.activate(x, dynamic["activation"])
            if self.pooled:
                x = max_pool(x, window=POOL, stride=POOL_STRIDE)
            for index in range(self.count):
                x = getattr(self, f"block_{index}")(x, train)
            if self.preactivated:
                x = jax.nn.relu(self.output_norm(x, train=train))
            return self.output(x.mean(axis=(1, 2)))

    return ResNet


def cost(spec: TaskSpec, info: Any) -> Cost:
    """Returns the cost of a step in closed form."""
    config, rows = spec.config, spec.batch_size
    view = family.view(config, info)
    preactivated = config.version == "v2"
    sheet = CostSheet()

    def convolve(size, kernel, channels, features, stride, input_gradient=True):
        return costing.convolution(
            sheet,
            batch=rows,
            size=size,
            channels=channels,
            features=features,
            kernel=kernel,
            stride=stride,
            input_gradient=input_gradient,
            bias=False,
        )

    def norm(size, channels, activation=None):
        costing.batch_norm(sheet, rows * size * size, channels)
        if activation:
            costing.activation(sheet, rows * size * size * channels, activation)

    size = convolve(
        view.size, config.stem_kernel, view.channels, config.stem_channels, STEM_STRIDE, False
    )
    if not preactivated:
        norm(size, config.stem_channels, config.activation)
    if config.max_pool:
        size = -(-size // POOL_STRIDE)
        taps = POOL * POOL - 1
        # The gradient of each maximum goes to one or, equally, to both of its operands.
        sheet.elementwise(
            rows * size * size * config.stem_channels, forward=taps, backward=9 * taps
        )
    for block in blocks(config):
        before = size
        for index, (kernel, channels, features, stride) in enumerate(block.convolutions):
            if preactivated:
                norm(size, channels, "relu")
            size = convolve(size, kernel, channels, features, stride)
            if not preactivated:
                norm(size, features, "relu" if index < 2 else None)
        if block.projection:
            convolve(before, 1, block.channels, block.features, block.stride)
            if not preactivated:
                norm(size, block.features)
        # The sum, and its gradient where the two ways part; "v1" rectifies it.
        sheet.elementwise(
            rows * size * size * block.features, forward=1 + (not preactivated), backward=1
        )
    features = blocks(config)[-1].features
    if preactivated:
        norm(size, features, "relu")
    # Mean over pixels: a sum forward; the backward pass only repeats.
    sheet.elementwise(rows * size * size * features, forward=1, backward=0, saved=0)
    sheet.elementwise(rows * features, forward=1, backward=1)
    sheet.dense(rows, features, view.num_classes)
    costing.cross_entropy(sheet, rows, view.num_classes)
    return sheet.total(batch_size=rows, batch_floats=rows * (view.pixels + 1))


family = Family(
    name="resnet",
    version=2,
    config=ResNetConfig,
    network=network,
    batch_size=log_int(4, 256),
    cost=cost,
    normalize=deep_classification,
    shrink={
        "base_channels": 8,
        "image_size": 8,
        "batch_size": 4,
        "stem_channels": 8,
        **{f"blocks_{group}": 1 for group in GROUPS},
    },
)
