"""Reconstruction of images by a U-Net (the workload ``fastmri`` of MLCommons AlgoPerf).

A U-Net (Ronneberger et al. 2015, arXiv 1505.04597) in the form of fastMRI (Zbontar et al. 2018,
arXiv 1811.08839): norms have no parameters, and no convolution but the last has a bias. The
defaults are the workload's: 7,756,097 parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import costing
from velodrome.taskgen.space.distributions import choice, log_int, uniform_int
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import ReconstructionView

KERNEL = 3
ACTIVATIONS = ("leaky_relu", "tanh")
SSIM_FLOPS = 85  # about, for each pixel


@dataclass(frozen=True)
class UNetConfig:
    """Config of the family "unet"; the distributions are ours.

    Attributes:
      base_channels: Channels of the first level; each level has twice as many as the one before.
      num_pools: Levels below the first; each halves height and width.
      image_size: Height and width of the centre of the images, at least ``2 ** num_pools``.
      dropout: Rate, while training, of whole channels, after each activation of a 3x3 convolution.
      activation: "leaky_relu" has the slope 0.2; a variant of the workload has "tanh".
    """

    base_channels: int = static(log_int(4, 32), allowed=(1, 1024), default=32)
    num_pools: int = static(uniform_int(1, 4), allowed=(1, 8), default=4)
    image_size: int = static(log_int(16, 64), allowed=(8, 1024), default=320)
    dropout: float = static(choice((0.0, 0.1)), allowed=(0.0, 0.99), default=0.0)
    activation: str = static(choice(ACTIVATIONS, (3, 1)), default="leaky_relu")

    def __post_init__(self):
        if self.image_size < 2**self.num_pools:
            least = f"at least 2 ** config.num_pools, which is {2**self.num_pools}"
            raise SpecError("config.image_size", self.image_size, least)


def widths(config: UNetConfig) -> list[int]:
    """Return the channels of the levels, from the first to the one below all others."""
    return [config.base_channels * 2**level for level in range(config.num_pools + 1)]


def cost(config: UNetConfig, view: ReconstructionView, batch_size: int) -> Cost:
    rows = batch_size
    sheet = CostSheet()

    def norm_and_activate(size: int, features: int) -> None:
        numbers = rows * size * size * features
        # forward: two moments (3), centre, scale; backward: their transposes
        sheet.elementwise(numbers, forward=5, backward=9)
        # The slope, times what is negative, is chosen or not.
        tanh = config.activation == "tanh"
        sheet.elementwise(numbers, forward=1, backward=4 if tanh else 2)

    def block(size: int, channels: int, features: int, *, first: bool = False) -> None:
        for inner in (channels, features):
            costing.convolution(
                sheet,
                batch=rows,
                size=size,
                channels=inner,
                features=features,
                kernel=KERNEL,
                stride=1,
                input_gradient=not (first and inner is channels),
                bias=False,
            )
            norm_and_activate(size, features)
            if config.dropout:  # divides all numbers, and draws one for each channel
                sheet.elementwise(rows * size * size * features, forward=1, backward=1)

    sizes, channels = [view.size], 1
    levels = widths(config)
    for features in levels[:-1]:
        size = sizes[-1]
        block(size, channels, features, first=len(sizes) == 1)
        sizes.append(size // 2)
        pooled = rows * sizes[-1] ** 2 * features
        sheet.elementwise(pooled, forward=5, backward=1)
        sheet.elementwise(rows * size * size * features, forward=0, backward=1)  # gradients meet
        channels = features
    block(sizes[-1], channels, levels[-1])
    for size, small, features in zip(sizes[-2::-1], sizes[:0:-1], levels[-2::-1], strict=True):
        sheet.parameters(4 * 2 * features * features)
        sheet.product(rows * small * small, 2 * features, 4 * features)
        norm_and_activate(2 * small, features)
        block(size, 2 * features, features)
    pixels = rows * view.pixels
    sheet.dense(pixels, levels[0], 1)
    # forward: difference, absolute value, sum; backward: sign, divided
    sheet.elementwise(pixels, forward=3, backward=2)
    # The metric, in evaluation; where only the loss is wanted, the compiler leaves it out.
    sheet.elementwise(pixels, forward=SSIM_FLOPS, backward=0, saved=0)
    return sheet.total(batch_size=rows, batch_floats=rows * view.numbers)


family = Family(
    name="unet",
    config=UNetConfig,
    network="velodrome.taskgen.families.networks.unet:UNet",
    data_kind="reconstruction",
    batch_size=log_int(4, 64),
    cost=cost,
    shrink={"base_channels": 4, "image_size": 16, "batch_size": 4},
)
