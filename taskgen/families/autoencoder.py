"""Autoencoding of images by a multi-layer perceptron (``image_mlp_ae`` of the published tasks)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family, ImageView, deferred
from velodrome.taskgen.nn import costing, initializers
from velodrome.taskgen.nn.dense import DenseConfig, add_stack
from velodrome.taskgen.space.config import boolean, fixed, static
from velodrome.taskgen.spec import TaskSpec

LOG_FLOOR = 1e-8


@dataclass(frozen=True)
class AutoencoderConfig(DenseConfig):
    """Config of the family "autoencoder"; distributions of Metz et al. 2022 (2211.09760).

    Without hidden layers it is a linear map from the image to itself. The three booleans are
    published as dynamic; here they fix the program.

    Attributes:
      bottleneck_size: Width of hidden layer ``num_layers // 2``, counted from 0; 0 is
        ``hidden_size``.
      log_loss: Whether the logarithm of the squared error, averaged over each column of pixels,
        is what is averaged.
      center_data: Whether pixels are from -1 to 1 instead of from 0 to 1.
      constrain_output: Whether the output goes through tanh or a sigmoid, into that range.
    """

    bottleneck_size: int = static(fixed(0), allowed=(0, 65_536), default=0)
    log_loss: bool = static(boolean(), default=False)
    center_data: bool = static(boolean(), default=False)
    constrain_output: bool = static(boolean(), default=True)


@dataclass(frozen=True)
class AutoencoderView(ImageView):
    """How a task of this family sees a data set.

    Attributes:
      log_loss: The config's ``log_loss``, which the normaliser depends on.
    """

    log_loss: bool = False


def view(config: AutoencoderConfig, info: Any) -> AutoencoderView:
    """Returns how a task with ``config`` sees a data set."""
    return AutoencoderView(config.image_size, info.shape[2], info.num_classes, config.log_loss)


def sizes(config: AutoencoderConfig, view: ImageView) -> list[int]:
    """Returns the sizes of the network's layers, from the image to the image."""
    hidden = [config.hidden_size] * config.num_layers
    if config.bottleneck_size and hidden:
        hidden[config.num_layers // 2] = config.bottleneck_size
    return [view.pixels, *hidden, view.pixels]


@deferred
def network() -> type:
    """Defines the network: images f32[B,H,W,C] to the loss of each, f32[B]."""
    import jax
    import jax.numpy as jnp

    from velodrome.taskgen.nn.layers import DenseStack

    class Autoencoder(DenseStack):
        """Dense layers from an image to itself, and the squared error."""

        def __init__(self, config, view, *, rngs, dynamic):
            kernel_init = initializers.kernel_initializer(dynamic)
            super().__init__(sizes(config, view), kernel_init=kernel_init, rngs=rngs)
            self.config = config

        def __call__(self, image, *, dynamic):
            config = self.config
            target = 2 * (image - 0.5) if config.center_data else image
            x = self.run(target.reshape(image.shape[0], -1), dynamic["activation"])
            x = x.reshape(image.shape)
            if config.constrain_output:
                x = jnp.tanh(x) if config.center_data else jax.nn.sigmoid(x)
            error = jnp.square(x - target).mean(axis=1)
            if config.log_loss:
                error = jnp.log(error + LOG_FLOOR)
            return error.mean(axis=(1, 2))

    return Autoencoder


def cost(spec: TaskSpec, info: Any) -> Cost:
    """Returns the cost of a step in closed form."""
    config, rows = spec.config, spec.batch_size
    view = family.view(config, info)
    size = rows * view.pixels
    sheet = CostSheet()
    if config.center_data:
        sheet.elementwise(size, forward=2, backward=0, saved=0)
    add_stack(sheet, rows, sizes(config, view), activation=config.activation)
    if config.constrain_output:
        costing.activation(sheet, size, "tanh" if config.center_data else "sigmoid")
    # forward: subtract, square, sum; backward: twice the difference
    sheet.elementwise(size, forward=3, backward=2)
    columns = size // view.size
    sheet.elementwise(columns, forward=2 + 2 * config.log_loss, backward=1 + config.log_loss)
    return sheet.total(batch_size=rows, batch_floats=rows * (view.pixels + 1))


def objective(losses: Any, batch: Any, view: AutoencoderView) -> dict[str, tuple[Any, Any]]:
    """Returns {"loss": (sum, count)} from the loss of each image."""
    import jax.numpy as jnp  # here, so that sampling needs no jax

    del batch, view  # the network has compared its output with the image already
    return {"loss": (losses.sum(), jnp.asarray(losses.size, jnp.float32))}


def normalize(loss: Any, view: AutoencoderView) -> Any:
    """The published normaliser: ``10 + clip(ln L, -12, 1) / 2``; NaN and infinity count as e."""
    import jax.numpy as jnp  # here, so that sampling needs no jax

    logarithm = loss if view.log_loss else jnp.log(loss + LOG_FLOOR)
    finite = jnp.where(jnp.isfinite(logarithm), logarithm, 1.0)
    return 10.0 + 0.5 * jnp.clip(finite, -12.0, 1.0)


family = Family(
    name="autoencoder",
    config=AutoencoderConfig,
    network=network,
    view=view,
    cost=cost,
    objective=objective,
    normalize=normalize,
    shrink={"hidden_size": 8, "image_size": 4, "batch_size": 4, "num_layers": 1},
)
