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
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import choices, costing
from velodrome.taskgen.space.distributions import boolean, choice, fixed, log_int
from velodrome.taskgen.space.draws import NamedRng
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import ImageView

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

    def sample(self, rng: NamedRng, name: str, /) -> int:
        most = log_int(1, MAX_BLOCKS).sample(rng, "max_blocks")
        return log_int(1, most).sample(rng, name) if most > 1 else 1

    def describe(self) -> str:
        together = log_int(1, MAX_BLOCKS).describe()
        return f"log-uniform integer in [1, m), with m one {together} for the four groups"


def _blocks() -> Any:
    return static(Blocks(), allowed=(1, 64), default=1)


@dataclass(frozen=True)
class ResNetConfig:
    """Config of the family "resnet"; distributions of Metz et al. 2022 (arXiv 2211.09760).

    The published code draws a stride of the first convolution and ignores it: it is 2.

    Attributes:
      version: "v1": convolution, norm, activation, with a rectifier after each sum; the scale of
        a block's last norm starts at 0. "v2": norm, rectifier, convolution, and a last norm and
        activation before the pooling.
      blocks_1: Blocks of the first group; likewise of the second to fourth group, whose first
        block has stride 2.
      base_channels: Output channels of the groups, times ``channel_pattern``.
      channel_pattern: Multiples of ``base_channels``, for each group.
      stem_kernel: Height and width of the kernel of the first convolution, which has stride 2.
      stem_channels: Output channels of the first convolution.
      max_pool: Whether a 3x3 maximum with stride 2 follows it.
      image_size: Height and width in pixels that images are resized to.
      activation: After the first norm of "v1" and the last of "v2": blocks use rectifiers.
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
    activation: str = choices.activation_field()


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
    """Return the blocks of a network, from first to last."""
    made, channels = [], config.stem_channels
    multiples = map(int, config.channel_pattern.split("-"))
    for group, multiple, stride in zip(GROUPS, multiples, GROUP_STRIDES, strict=True):
        features = multiple * config.base_channels
        for index in range(getattr(config, f"blocks_{group}")):
            first = index == 0
            made.append(Block(channels, features, stride if first else 1, first))
            channels = features
    return made


def cost(config: ResNetConfig, view: ImageView, batch_size: int) -> Cost:
    rows = batch_size
    preactivated = config.version == "v2"
    sheet = CostSheet()

    def convolve(
        size: int, kernel: int, channels: int, features: int, stride: int, input_gradient=True
    ) -> int:
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

    def norm(size: int, channels: int, activation: str | None = None) -> None:
        costing.batch_norm(sheet, rows * size * size, channels)
        if activation:
            costing.activate(sheet, rows * size * size * channels, activation)

    size = convolve(
        view.size, config.stem_kernel, view.channels, config.stem_channels, STEM_STRIDE, False
    )
    if not preactivated:
        norm(size, config.stem_channels, config.activation)
    if config.max_pool:
        size = costing.max_pool(
            sheet,
            batch=rows,
            size=size,
            channels=config.stem_channels,
            window=POOL,
            stride=POOL_STRIDE,
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
        norm(size, features, config.activation)
    costing.mean_pool(sheet, rows, size * size, features)
    sheet.dense(rows, features, view.num_classes)
    costing.cross_entropy(sheet, rows, view.num_classes)
    return sheet.total(batch_size=rows, batch_floats=rows * view.numbers)


family = Family(
    name="resnet",
    version=2,
    config=ResNetConfig,
    network="velodrome.taskgen.families.networks.resnet:ResNet",
    batch_size=log_int(4, 256),
    cost=cost,
    normalize="velodrome.taskgen.nn.losses:normalize_deep_classification",
    shrink={
        "base_channels": 8,
        "image_size": 8,
        "batch_size": 4,
        "stem_channels": 8,
        **{f"blocks_{group}": 1 for group in GROUPS},
    },
)
