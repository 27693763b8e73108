"""Image classification by a multi-layer perceptron (``image_mlp`` of the published tasks)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from taskgen import activations, initializers
from taskgen.cost import Cost, CostSheet
from taskgen.families import costing
from taskgen.families.base import Family, deferred
from taskgen.space import choice, log_int, static
from taskgen.spec import TaskSpec


@dataclass(frozen=True)
class MLPConfig:
    """Config of the family "mlp"; distributions of Metz et al. 2022 (arXiv 2211.09760).

    Attributes:
      hidden_size: Width of every hidden layer.
      num_layers: Hidden layers; 0 is multinomial logistic regression.
      image_size: Height and width in pixels that images are resized to.
      activation: After every hidden layer.
      initializer: Of all kernels, the output's included. Biases start at 0.
      init_scale: See :data:`taskgen.initializers.NAMES`.
    """

    hidden_size: int = static(log_int(8, 128), allowed=(1, 65_536), default=32)
    num_layers: int = static(choice((0, 1, 2, 3, 4)), allowed=(0, 64), default=2)
    image_size: int = static(log_int(4, 32), allowed=(1, 256), default=8)
    activation: str = activations.activation_field()
    initializer: str = initializers.initializer_field()
    init_scale: float = initializers.init_scale_field()


@deferred
def network() -> type:
    """Defines the network: images f32[B,H,W,C] to logits f32[B,classes]."""
    from flax import nnx

    class MLP(nnx.Module):
        """Flatten, then ``num_layers`` of dense and activation, then dense."""

        def __init__(self, config, view, *, rngs, dynamic):
            kernel_init = initializers.sampled_initializer(
                dynamic["initializer"], dynamic["init_scale"]
            )
            self.num_layers = config.num_layers
            width = view.pixels
            for layer in range(config.num_layers):
                dense = nnx.Linear(width, config.hidden_size, kernel_init=kernel_init, rngs=rngs)
                setattr(self, f"dense_{layer}", dense)
                width = config.hidden_size
            self.output = nnx.Linear(width, view.num_classes, kernel_init=kernel_init, rngs=rngs)

        def __call__(self, image, *, dynamic):
            x = image.reshape(image.shape[0], -1)
            for layer in range(self.num_layers):
                x = getattr(self, f"dense_{layer}")(x)
                x = activations.activate(x, dynamic["activation"])
            return self.output(x)

    return MLP


def cost(spec: TaskSpec, info: Any) -> Cost:
    """Returns the cost of a step in closed form."""
    config, rows = spec.config, spec.batch_size
    view = family.view(config, info)
    sheet = CostSheet()
    width, gradients = view.pixels, 1  # images need no gradient
    for _ in range(config.num_layers):
        sheet.dense(rows, width, config.hidden_size, gradients=gradients)
        costing.activation(sheet, rows * config.hidden_size, config.activation)
        width, gradients = config.hidden_size, 2
    sheet.dense(rows, width, view.num_classes, gradients=gradients)
    costing.cross_entropy(sheet, rows, view.num_classes)
    return sheet.total(batch_size=rows, batch_floats=rows * (view.pixels + 1))


family = Family(
    name="mlp",
    config=MLPConfig,
    network=network,
    cost=cost,
    shrink={"hidden_size": 8, "image_size": 4, "batch_size": 4, "num_layers": 1},
)
