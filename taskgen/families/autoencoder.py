"""Autoencoding of images by a multi-layer perceptron (``image_mlp_ae`` of the published tasks)."""

from __future__ import annotations

from dataclasses import dataclass

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.families.mlp import DenseConfig
from velodrome.taskgen.family import Family
from velodrome.taskgen.nn import costing
from velodrome.taskgen.space.distributions import boolean, fixed
from velodrome.taskgen.space.fields import static
from velodrome.taskgen.views import ImageView


@dataclass(frozen=True)
class AutoencoderConfig(DenseConfig):
    """Config of the family "autoencoder"; distributions of Metz et al. 2022 (2211.09760).

    Without hidden layers it is a linear map from the image to itself. The three booleans are
    published as dynamic; here they fix the program.

    Attributes:
      bottleneck_size: Width of hidden layer ``num_layers // 2``, counted from 0; 0 is
        ``hidden_size``.
      log_loss: Whether the loss is the mean of the logarithms of the squared errors, each averaged
        over a column of pixels.
      center_data: Whether pixels are from -1 to 1 instead of from 0 to 1.
      constrain_output: Whether the output goes through tanh or a sigmoid, into that range.
    """

    bottleneck_size: int = static(fixed(0), allowed=(0, 65_536), default=0)
    log_loss: bool = static(boolean(), default=False)
    center_data: bool = static(boolean(), default=False)
    constrain_output: bool = static(boolean(), default=True)


@dataclass(frozen=True)
class AutoencoderView(ImageView):
    """With the config's ``log_loss``, which the normaliser depends on."""

    log_loss: bool = False


def view(config: AutoencoderConfig, info: DatasetInfo) -> AutoencoderView:
    return AutoencoderView(config.image_size, info.shape[2], info.num_classes, config.log_loss)


def sizes(config: AutoencoderConfig, view: ImageView) -> list[int]:
    """Return the sizes of the network's layers, from the image to the image."""
    hidden = [config.hidden_size] * config.num_layers
    if config.bottleneck_size and hidden:
        hidden[config.num_layers // 2] = config.bottleneck_size
    return [view.pixels, *hidden, view.pixels]


def cost(config: AutoencoderConfig, view: ImageView, batch_size: int) -> Cost:
    size = batch_size * view.pixels
    sheet = CostSheet()
    if config.center_data:
        sheet.elementwise(size, forward=2, backward=0, saved=0)
    costing.dense_stack(sheet, batch_size, sizes(config, view), activation=config.activation)
    if config.constrain_output:
        costing.activate(sheet, size, "tanh" if config.center_data else "sigmoid")
    # forward: subtract, square, sum; backward: twice the difference
    sheet.elementwise(size, forward=3, backward=2)
    columns = size // view.size
    sheet.elementwise(columns, forward=2 + 2 * config.log_loss, backward=1 + config.log_loss)
    return sheet.total(batch_size=batch_size, batch_floats=batch_size * view.numbers)


family = Family(
    name="autoencoder",
    config=AutoencoderConfig,
    network="velodrome.taskgen.families.networks.dense:Autoencoder",
    view=view,
    cost=cost,
    objective="velodrome.taskgen.families.networks.dense:autoencoder_objective",
    normalize="velodrome.taskgen.families.networks.dense:normalize_autoencoder",
    shrink={"hidden_size": 8, "image_size": 4, "batch_size": 4, "num_layers": 1},
)
