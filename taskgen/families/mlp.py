"""Image classification by a multi-layer perceptron (``image_mlp`` of the published tasks).

The sampled family has neither normalisation nor dropout, and cross-entropy as its loss; the
published fixed tasks (``ImageMLP_*``) need more, which the later fields are for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from taskgen import activations, initializers
from taskgen.cost import Cost, CostSheet
from taskgen.families import costing
from taskgen.families.base import Family, ImageView, deferred
from taskgen.space import choice, fixed, log_int, static
from taskgen.spec import TaskSpec

LOSSES = ("cross_entropy", "mse")


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
      normalization: Before every activation.
      dropout: Rate, on what comes into every activation, while training. After scaling up by
        1/(1 - rate).
      loss: Softmax cross-entropy, or the mean over classes of the squared difference to the
        one-hot label.
      grey: Whether the mean over the colours is seen instead of the colours.
    """

    hidden_size: int = static(log_int(8, 128), allowed=(1, 65_536), default=32)
    num_layers: int = static(choice((0, 1, 2, 3, 4)), allowed=(0, 64), default=2)
    image_size: int = static(log_int(4, 32), allowed=(1, 256), default=8)
    activation: str = activations.activation_field()
    initializer: str = initializers.initializer_field()
    init_scale: float = initializers.init_scale_field()
    normalization: str = static(fixed("none"), allowed=costing.NORMALIZATIONS, default="none")
    dropout: float = static(fixed(0.0), allowed=(0.0, 0.99), default=0.0)
    loss: str = static(fixed("cross_entropy"), allowed=LOSSES, default="cross_entropy")
    grey: bool = static(fixed(False), default=False)


@dataclass(frozen=True)
class MLPView(ImageView):
    """How a task of this family sees a data set.

    Attributes:
      loss: The config's ``loss``.
    """

    loss: str = "cross_entropy"


def view(config: MLPConfig, info: Any) -> MLPView:
    """Returns how a task with ``config`` sees a data set."""
    channels = 1 if config.grey else info.shape[2]
    return MLPView(config.image_size, channels, info.num_classes, config.loss)


@deferred
def network() -> type:
    """Defines the network: images f32[B,H,W,C] to logits f32[B,classes]."""
    import jax
    from flax import nnx

    from taskgen.families import _layers

    class MLP(nnx.Module):
        """Flatten, then ``num_layers`` of dense (norm, dropout) and activation, then dense."""

        def __init__(self, config, view, *, rngs, dynamic):
            kernel_init = initializers.sampled_initializer(
                dynamic["initializer"], dynamic["init_scale"]
            )
            self.num_layers, self.dropout = config.num_layers, config.dropout
            self.normalized = config.normalization != "none"
            width = view.pixels
            for layer in range(config.num_layers):
                dense = nnx.Linear(width, config.hidden_size, kernel_init=kernel_init, rngs=rngs)
                setattr(self, f"dense_{layer}", dense)
                if self.normalized:
                    norm = _layers.normalization(
                        config.normalization, config.hidden_size, rngs=rngs
                    )
                    setattr(self, f"norm_{layer}", norm)
                width = config.hidden_size
            self.output = nnx.Linear(width, view.num_classes, kernel_init=kernel_init, rngs=rngs)

        def __call__(self, image, *, train, key, dynamic):
            x = image.reshape(image.shape[0], -1)
            for layer in range(self.num_layers):
                x = getattr(self, f"dense_{layer}")(x)
                if self.normalized:
                    x = _layers.normalize(getattr(self, f"norm_{layer}"), x, train=train)
                if self.dropout and train:
                    x = _layers.dropout(x, self.dropout, jax.random.fold_in(key, layer))
                x = activations.activate(x, dynamic["activation"])
            return self.output(x)

    return MLP


def cost(spec: TaskSpec, info: Any) -> Cost:
    """Returns the cost of a step in closed form."""
    config, rows = spec.config, spec.batch_size
    view = family.view(config, info)
    size = rows * config.hidden_size
    sheet = CostSheet()
    width, gradients = view.pixels, 1  # images need no gradient
    for _ in range(config.num_layers):
        sheet.dense(rows, width, config.hidden_size, gradients=gradients)
        costing.normalization(sheet, rows, config.hidden_size, config.normalization)
        if config.dropout:
            costing.dropout(sheet, size)
        costing.activation(sheet, size, config.activation)
        width, gradients = config.hidden_size, 2
    sheet.dense(rows, width, view.num_classes, gradients=gradients)
    costing.classification(sheet, rows, view.num_classes, config.loss)
    return sheet.total(batch_size=rows, batch_floats=rows * (view.pixels + 1))


def objective(logits: Any, batch: Any, view: MLPView) -> dict[str, tuple[Any, Any]]:
    """Returns {metric: (sum, count)} by the view's loss."""
    from taskgen import losses  # imports jax

    if view.loss == "mse":
        return losses.one_hot_regression(logits, batch, view)
    return losses.classification(logits, batch, view)


def normalize(loss: Any, view: MLPView) -> Any:
    """The published normaliser of the view's loss."""
    from taskgen import losses  # imports jax

    if view.loss == "mse":
        return losses.normalize_one_hot_regression(loss, view)
    return losses.normalize_classification(loss, view)


family = Family(
    name="mlp",
    config=MLPConfig,
    network=network,
    view=view,
    cost=cost,
    objective=objective,
    normalize=normalize,
    shrink={"hidden_size": 8, "image_size": 4, "batch_size": 4, "num_layers": 1},
)
