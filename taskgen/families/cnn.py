"""Image classification by a plain convolutional network (``image_conv`` of the published tasks).

The published fixed tasks (``Conv_*``) use ``first_hidden_size`` and ``normalization``.
"""

from __future__ import annotations

from dataclasses import dataclass

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import choices, costing
from velodrome.taskgen.space.distributions import choice, fixed, log_int
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import ImageView

KERNEL = 3


@dataclass(frozen=True)
class CNNConfig:
    """Config of the family "cnn"; distributions of Metz et al. 2022 (arXiv 2211.09760).

    Attributes:
      hidden_size: Channels of every convolution, except for the first if ``first_hidden_size``
        is set.
      num_layers: 3x3 convolutions, each with an activation; 0 is a linear model of the mean
        colour.
      num_stride2: How many of the first convolutions have stride 2, at most all.
      image_size: Height and width in pixels that images are resized to.
      activation: After every convolution.
      initializer: Initialises the convolutions' kernels. The output's is a fixed truncated normal.
      init_scale: See :data:`velodrome.taskgen.nn.choices.INITIALIZERS`.
      first_hidden_size: Channels of the first convolution; 0 is ``hidden_size``.
      normalization: After every activation, over the batch and the pixels ("batch_norm") or over
        the channels of each pixel ("layer_norm").
    """

    hidden_size: int = static(log_int(4, 64), allowed=(1, 4096), default=16)
    num_layers: int = static(choice((0, 1, 2, 3)), allowed=(0, 32), default=2)
    num_stride2: int = static(choice((0, 1, 2)), allowed=(0, 8), default=1)
    image_size: int = static(log_int(4, 32), allowed=(1, 256), default=8)
    activation: str = choices.activation_field()
    initializer: str = choices.initializer_field()
    init_scale: float = choices.init_scale_field()
    first_hidden_size: int = static(fixed(0), allowed=(0, 4096), default=0)
    normalization: str = static(fixed("none"), allowed=choices.NORMALIZATIONS, default="none")


def strides(config: CNNConfig) -> list[int]:
    """Return the stride of each convolution."""
    return [2 if layer < config.num_stride2 else 1 for layer in range(config.num_layers)]


def widths(config: CNNConfig) -> list[int]:
    """Return the channels of each convolution."""
    first = config.first_hidden_size or config.hidden_size
    return [config.hidden_size if layer else first for layer in range(config.num_layers)]


def cost(config: CNNConfig, view: ImageView, batch_size: int) -> Cost:
    sheet = CostSheet()
    size, channels = view.size, view.channels
    for layer, (stride, width) in enumerate(zip(strides(config), widths(config), strict=True)):
        size = costing.convolution(
            sheet,
            batch=batch_size,
            size=size,
            channels=channels,
            features=width,
            kernel=KERNEL,
            stride=stride,
            input_gradient=layer > 0,
        )
        rows = batch_size * size * size
        costing.activate(sheet, rows * width, config.activation)
        costing.normalize(sheet, rows, width, config.normalization)
        channels = width
    costing.mean_pool(sheet, batch_size, size * size, channels)
    sheet.dense(batch_size, channels, view.num_classes, gradients=2 if config.num_layers else 1)
    costing.cross_entropy(sheet, batch_size, view.num_classes)
    return sheet.total(batch_size=batch_size, batch_floats=batch_size * view.numbers)


family = Family(
    name="cnn",
    config=CNNConfig,
    network="velodrome.taskgen.families.networks.cnn:CNN",
    cost=cost,
    shrink={"hidden_size": 4, "image_size": 4, "batch_size": 4, "num_layers": 1},
)
