"""Image classification by ResNet-50 (the workload ``imagenet_resnet`` of MLCommons AlgoPerf).

Four stages of bottleneck blocks (He et al. 2015, 1512.03385) in the form of the reference: the
stride is in the 3x3 convolution, the scale of a block's last norm starts at 0, vectors of norms
have one axis, and their averages in evaluation start at mean 0 and variance 1. The defaults are
the workload's: 25,557,032 parameters on images of ImageNet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import costing
from velodrome.taskgen.space.distributions import choice, fixed, log_int
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import ImageView

STAGES = (1, 2, 3, 4)
EXPANSION = 4
STEM_KERNEL, STEM_STRIDE, STEM_PADDING = 7, 2, 3
POOL, POOL_STRIDE, POOL_PADDING = 3, 2, 1
ACTIVATIONS = ("relu", "silu", "gelu")


def _blocks(published: int) -> Any:
    return static(log_int(1, 4), allowed=(1, 64), default=published)


@dataclass(frozen=True)
class ResNet50Config:
    """Config of the family "resnet50"; the distributions are ours.

    Attributes:
      blocks_1: Blocks of the first stage; likewise of the second to fourth stage, whose first
        block has stride 2.
      base_channels: Channels of the first convolution, and inside the blocks of the first stage;
        each stage has twice as many as the one before, and four times as many outside its blocks.
      image_size: Height and width in pixels that images are resized to.
      activation: Of the whole network; variants of the workload have "silu" and "gelu" (in its
        tanh form).
      last_scale: Where the scale of each block's last norm starts; a variant has 8.
      label_smoothing: The part of a label that is spread over all classes, while training.
    """

    blocks_1: int = _blocks(3)
    blocks_2: int = _blocks(4)
    blocks_3: int = _blocks(6)
    blocks_4: int = _blocks(3)
    base_channels: int = static(log_int(4, 64), allowed=(1, 1024), default=64)
    image_size: int = static(log_int(8, 64), allowed=(1, 512), default=224)
    activation: str = static(choice(ACTIVATIONS), default="relu")
    last_scale: float = static(fixed(0.0), allowed=(0.0, 64.0), default=0.0)
    label_smoothing: float = static(choice((0.0, 0.1)), allowed=(0.0, 0.99), default=0.0)


@dataclass(frozen=True)
class Block:
    """Shape of a block: channels in, inside and out, and stride.

    Attributes:
      projection: Whether its shortcut is a convolution.
    """

    channels: int
    inner: int
    stride: int
    projection: bool

    @property
    def features(self) -> int:
        return EXPANSION * self.inner

    @property
    def convolutions(self) -> tuple[tuple[int, int, int, int], ...]:
        """(kernel, channels, features, stride) of the three."""
        return (
            (1, self.channels, self.inner, 1),
            (3, self.inner, self.inner, self.stride),
            (1, self.inner, self.features, 1),
        )


def blocks(config: ResNet50Config) -> list[Block]:
    """Return the blocks of a network, from first to last."""
    made, channels = [], config.base_channels
    for stage in STAGES:
        inner = config.base_channels * 2 ** (stage - 1)
        for index in range(getattr(config, f"blocks_{stage}")):
            stride = 2 if stage > 1 and index == 0 else 1
            made.append(Block(channels, inner, stride, channels != EXPANSION * inner or stride > 1))
            channels = EXPANSION * inner
    return made


def cost(config: ResNet50Config, view: ImageView, batch_size: int) -> Cost:
    rows, width = batch_size, config.base_channels
    sheet = CostSheet()
    costing.standardize(sheet, rows * view.pixels)

    def convolve(size: int, kernel: int, channels: int, features: int, stride: int) -> int:
        return costing.convolution(
            sheet,
            batch=rows,
            size=size,
            channels=channels,
            features=features,
            kernel=kernel,
            stride=stride,
            input_gradient=True,
            bias=False,
        )

    def norm(size: int, channels: int, *, activated: bool) -> None:
        costing.batch_norm(sheet, rows * size * size, channels)
        if activated:
            costing.activate(sheet, rows * size * size * channels, config.activation)

    size = costing.convolution(
        sheet,
        batch=rows,
        size=view.size,
        channels=view.channels,
        features=width,
        kernel=STEM_KERNEL,
        stride=STEM_STRIDE,
        padding=STEM_PADDING,
        input_gradient=False,
        bias=False,
    )
    norm(size, width, activated=True)
    size = costing.max_pool(
        sheet,
        batch=rows,
        size=size,
        channels=width,
        window=POOL,
        stride=POOL_STRIDE,
        padding=POOL_PADDING,
    )
    for block in blocks(config):
        before = size
        for index, (kernel, channels, features, stride) in enumerate(block.convolutions):
            size = convolve(size, kernel, channels, features, stride)
            norm(size, features, activated=index < 2)
        if block.projection:
            convolve(before, 1, block.channels, block.features, block.stride)
            norm(size, block.features, activated=False)
        pixels = rows * size * size * block.features
        sheet.elementwise(pixels, forward=1, backward=1)  # the sum, where gradients meet
        costing.activate(sheet, pixels, config.activation)
    features = blocks(config)[-1].features
    costing.mean_pool(sheet, rows, size * size, features)
    sheet.dense(rows, features, view.num_classes)
    costing.smoothed_cross_entropy(sheet, rows, view.num_classes, config.label_smoothing)
    return sheet.total(batch_size=rows, batch_floats=rows * view.numbers)


family = Family(
    name="resnet50",
    config=ResNet50Config,
    network="velodrome.taskgen.families.networks.resnet50:ResNet50",
    batch_size=log_int(4, 256),
    cost=cost,
    objective="velodrome.taskgen.nn.losses:smoothed_classification",
    normalize="velodrome.taskgen.nn.losses:normalize_deep_classification",
    shrink={
        "base_channels": 4,
        "image_size": 8,
        "batch_size": 4,
        **{f"blocks_{stage}": 1 for stage in STAGES},
    },
)
