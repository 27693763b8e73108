"""Image classification by a multi-layer perceptron (``image_mlp`` of the published tasks).

The sampled family has neither normalisation nor dropout, and cross-entropy as its loss; the
published fixed tasks (``ImageMLP_*``) need more, which the later fields are for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family, ImageView, deferred
from velodrome.taskgen.nn import costing, initializers
from velodrome.taskgen.nn.dense import DenseConfig, add_stack
from velodrome.taskgen.space.config import fixed, static
from velodrome.taskgen.spec import TaskSpec

LOSSES = ("cross_entropy", "mse")


@dataclass(frozen=True)
class MLPConfig(DenseConfig):
    """Config of the family "mlp"; distributions of Metz et al. 2022 (arXiv 2211.09760).

    Without hidden layers it is multinomial logistic regression.

    Attributes:
      normalization: Before every activation.
      dropout: Rate, on what comes into every activation, while training. After scaling up by
        1/(1 - rate).
      loss: Softmax cross-entropy, or the mean over classes of the squared difference to the
        one-hot label.
      grey: Whether the mean over the colours is seen instead of the colours.
    """

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


def sizes(config: MLPConfig, view: ImageView) -> list[int]:
    """Returns the sizes of the network's layers, from the image to the logits."""
    return [view.pixels, *[config.hidden_size] * config.num_layers, view.num_classes]


@deferred
def network() -> type:
    """Defines the network: images f32[B,H,W,C] to logits f32[B,classes]."""
    from velodrome.taskgen.nn.layers import DenseStack

    class MLP(DenseStack):
        """Flatten, then dense layers."""

        def __init__(self, config, view, *, rngs, dynamic):
            super().__init__(
                sizes(config, view),
                kernel_init=initializers.kernel_initializer(dynamic),
                norm=config.normalization,
                rate=config.dropout,
                rngs=rngs,
            )

        def __call__(self, image, *, train, key, dynamic):
            x = image.reshape(image.shape[0], -1)
            return self.run(x, dynamic["activation"], train=train, key=key)

    return MLP


def cost(spec: TaskSpec, info: Any) -> Cost:
    """Returns the cost of a step in closed form."""
    config, rows = spec.config, spec.batch_size
    view = family.view(config, info)
    sheet = CostSheet()
    add_stack(
        sheet,
        rows,
        sizes(config, view),
        activation=config.activation,
        normalization=config.normalization,
        dropout=config.dropout > 0,
    )
    costing.classification(sheet, rows, view.num_classes, config.loss)
    return sheet.total(batch_size=rows, batch_floats=rows * (view.pixels + 1))


def objective(logits: Any, batch: Any, view: MLPView) -> dict[str, tuple[Any, Any]]:
    """Returns {metric: (sum, count)} by the view's loss."""
    from velodrome.taskgen.nn import losses  # imports jax

    if view.loss == "mse":
        return losses.one_hot_regression(logits, batch, view)
    return losses.classification(logits, batch, view)


def normalize(loss: Any, view: MLPView) -> Any:
    """The published normaliser of the view's loss."""
    from velodrome.taskgen.nn import losses  # imports jax

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
