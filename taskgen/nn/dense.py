"""Stacks of dense layers: the config fields and the cost of :class:`_layers.DenseStack`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from velodrome.taskgen.cost.sheet import CostSheet
from velodrome.taskgen.nn import activations, costing, initializers
from velodrome.taskgen.space.config import choice, log_int, static


@dataclass(frozen=True)
class DenseConfig:
    """What image families of dense layers share; distributions of Metz et al. 2022 (2211.09760).

    Attributes:
      hidden_size: Width of every hidden layer.
      num_layers: Hidden layers; 0 is a linear map.
      image_size: Height and width in pixels that images are resized to.
      activation: After every hidden layer.
      initializer: Of all kernels, the output's included. Biases start at 0.
      init_scale: See :data:`velodrome.taskgen.nn.initializers.NAMES`.
    """

    hidden_size: int = static(log_int(8, 128), allowed=(1, 65_536), default=32)
    num_layers: int = static(choice((0, 1, 2, 3, 4)), allowed=(0, 64), default=2)
    image_size: int = static(log_int(4, 32), allowed=(1, 256), default=8)
    activation: str = activations.activation_field()
    initializer: str = initializers.initializer_field()
    init_scale: float = initializers.init_scale_field()


def add_stack(
    sheet: CostSheet,
    rows: int,
    sizes: Sequence[int],
    *,
    activation: str,
    normalization: str = "none",
    dropout: bool = False,
) -> None:
    """Adds a stack on ``rows`` images, which need no gradient.

    Args:
      sheet: What it is added to.
      rows: Images in the batch.
      sizes: Numbers of an image, width of each hidden layer, numbers of an output.
      activation: One of :data:`velodrome.taskgen.nn.activations.NAMES`.
      normalization: One of :data:`velodrome.taskgen.nn.costing.NORMALIZATIONS`.
      dropout: Whether what comes into the activations is dropped out.
    """
    *hidden, outputs = sizes[1:]
    width, gradients = sizes[0], 1
    for size in hidden:
        sheet.dense(rows, width, size, gradients=gradients)
        costing.normalization(sheet, rows, size, normalization)
        if dropout:
            costing.dropout(sheet, rows * size)
        costing.activation(sheet, rows * size, activation)
        width, gradients = size, 2
    sheet.dense(rows, width, outputs, gradients=gradients)
