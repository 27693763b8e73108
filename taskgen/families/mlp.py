"""Image classification by a multi-layer perceptron (``image_mlp`` of the published tasks).

The sampled family has neither normalisation nor dropout, and cross-entropy as its loss; the
published fixed tasks (``ImageMLP_*``) use the later fields.
"""

from __future__ import annotations

from dataclasses import dataclass

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import choices, costing
from velodrome.taskgen.space.distributions import choice, fixed, log_int
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import ImageView

LOSSES = ("cross_entropy", "mse")


@dataclass(frozen=True)
class DenseConfig:
    """Fields of families of dense layers; distributions of Metz et al. 2022 (arXiv 2211.09760).

    Attributes:
      hidden_size: Width of every hidden layer.
      num_layers: Hidden layers; 0 is a linear map.
      image_size: Height and width in pixels that images are resized to.
      activation: After every hidden layer.
      initializer: Initialises all kernels, the output's included. Biases start at 0.
      init_scale: See :data:`velodrome.taskgen.nn.choices.INITIALIZERS`.
    """

    hidden_size: int = static(log_int(8, 128), allowed=(1, 65_536), default=32)
    num_layers: int = static(choice((0, 1, 2, 3, 4)), allowed=(0, 64), default=2)
    image_size: int = static(log_int(4, 32), allowed=(1, 256), default=8)
    activation: str = choices.activation_field()
    initializer: str = choices.initializer_field()
    init_scale: float = choices.init_scale_field()


@dataclass(frozen=True)
class MLPConfig(DenseConfig):
    """Config of the family "mlp". Without hidden layers it is multinomial logistic regression.

    Attributes:
      normalization: Before every activation.
      dropout: Rate, on the inputs of every activation, while training.
      loss: Softmax cross-entropy, or the mean over classes of the squared difference to the
        one-hot label.
      grey: Whether the network sees the mean over the colours instead of the colours.
    """

    normalization: str = static(fixed("none"), allowed=choices.NORMALIZATIONS, default="none")
    dropout: float = static(fixed(0.0), allowed=(0.0, 0.99), default=0.0)
    loss: str = static(fixed("cross_entropy"), allowed=LOSSES, default="cross_entropy")
    grey: bool = static(fixed(False), default=False)


@dataclass(frozen=True)
class MLPView(ImageView):
    """With the config's ``loss``, which objective and normaliser depend on."""

    loss: str = "cross_entropy"


def view(config: MLPConfig, info: DatasetInfo) -> MLPView:
    channels = 1 if config.grey else info.shape[2]
    return MLPView(config.image_size, channels, info.num_classes, config.loss)


def sizes(config: MLPConfig, view: ImageView) -> list[int]:
    """Return the sizes of the network's layers, from the image to the logits."""
    return [view.pixels, *[config.hidden_size] * config.num_layers, view.num_classes]


def cost(config: MLPConfig, view: ImageView, batch_size: int) -> Cost:
    sheet = CostSheet()
    costing.dense_stack(
        sheet,
        batch_size,
        sizes(config, view),
        activation=config.activation,
        normalization=config.normalization,
        dropout=config.dropout,
    )
    costing.classification(sheet, batch_size, view.num_classes, config.loss)
    return sheet.total(batch_size=batch_size, batch_floats=batch_size * view.numbers)


family = Family(
    name="mlp",
    config=MLPConfig,
    network="velodrome.taskgen.families.networks.dense:MLP",
    view=view,
    cost=cost,
    objective="velodrome.taskgen.families.networks.dense:mlp_objective",
    normalize="velodrome.taskgen.families.networks.dense:normalize_mlp",
    shrink={"hidden_size": 8, "image_size": 4, "batch_size": 4, "num_layers": 1},
)
