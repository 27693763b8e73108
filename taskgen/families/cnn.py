"""Image classification by a plain convolutional network (``image_conv`` of the published tasks).

``first_hidden_size`` and ``normalization`` are what the published fixed tasks (``Conv_*``) need
beyond the sampled family.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family, deferred
from velodrome.taskgen.nn import activations, costing, initializers
from velodrome.taskgen.space.config import choice, fixed, log_int, static
from velodrome.taskgen.spec import TaskSpec

KERNEL = 3


@dataclass(frozen=True)
class CNNConfig:
    """Config of the family "cnn"; distributions of Metz et al. 2022 (arXiv 2211.09760).

    Attributes:
      hidden_size: Channels of every convolution, but for the first if that has its own.
      num_layers: 3x3 convolutions, each with an activation; 0 is a linear model of the mean
        colour.
      num_stride2: How many of the first convolutions have stride 2; not more than there are.
      image_size: Height and width in pixels that images are resized to.
      activation: After every convolution.
      initializer: Of the convolutions' kernels. The output's is a fixed truncated normal.
      init_scale: See :data:`velodrome.taskgen.nn.initializers.NAMES`.
      first_hidden_size: Channels of the first convolution; 0 is ``hidden_size``.
      normalization: After every activation, over the batch and the pixels ("batch_norm") or over
        the channels of each pixel ("layer_norm").
    """

    hidden_size: int = static(log_int(4, 64), allowed=(1, 4096), default=16)
    num_layers: int = static(choice((0, 1, 2, 3)), allowed=(0, 32), default=2)
    num_stride2: int = static(choice((0, 1, 2)), allowed=(0, 8), default=1)
    image_size: int = static(log_int(4, 32), allowed=(1, 256), default=8)
    activation: str = activations.activation_field()
    initializer: str = initializers.initializer_field()
    init_scale: float = initializers.init_scale_field()
    first_hidden_size: int = static(fixed(0), allowed=(0, 4096), default=0)
    normalization: str = static(fixed("none"), allowed=costing.NORMALIZATIONS, default="none")


def strides(config: CNNConfig) -> list[int]:
    """Returns the stride of each convolution."""
    return [2 if layer < config.num_stride2 else 1 for layer in range(config.num_layers)]


def widths(config: CNNConfig) -> list[int]:
    """Returns the channels of each convolution."""
    first = config.first_hidden_size or config.hidden_size
    return [config.hidden_size if layer else first for layer in range(config.num_layers)]


@deferred
def network() -> type:
    """Defines the network: images f32[B,H,W,C] to logits f32[B,classes]."""
    import jax.numpy as jnp
    from flax import nnx

    from velodrome.taskgen.nn import layers as _layers
    from velodrome.taskgen.nn.conv import conv2d

    class CNN(nnx.Module):
        """``num_layers`` of convolution, activation (and norm), global average pool, dense."""

        def __init__(self, config, view, *, rngs, dynamic):
            kernel_init = initializers.kernel_initializer(dynamic)
            self.strides = tuple(strides(config))
            self.normalized = config.normalization != "none"
            channels = view.channels
            for layer, width in enumerate(widths(config)):
                shape = (KERNEL, KERNEL, channels, width)
                conv = nnx.Dict(
                    kernel=nnx.Param(kernel_init(rngs.params(), shape)),
                    bias=nnx.Param(jnp.zeros(width)),
                )
                setattr(self, f"conv_{layer}", conv)
                if self.normalized:
                    norm = _layers.normalization(config.normalization, width, axes=4, rngs=rngs)
                    setattr(self, f"norm_{layer}", norm)
                channels = width
            output_init = initializers.fan_in_truncated_normal()
            self.output = nnx.Linear(channels, view.num_classes, kernel_init=output_init, rngs=rngs)

        def __call__(self, image, *, train, dynamic):
            x = image
            for layer, stride in enumerate(self.strides):
                conv = getattr(self, f"conv_{layer}")
                x = conv2d(x, conv.kernel[...], stride=stride)
                x = x + conv.bias[...][None, None, None]
                x = activations.activate(x, dynamic["activation"])
                if self.normalized:
                    x = _layers.normalize(getattr(self, f"norm_{layer}"), x, train=train)
            return self.output(x.mean(axis=(1, 2)))

    return CNN


def cost(spec: TaskSpec, info: Any) -> Cost:
    """Returns the cost of a step in closed form."""
    config, rows = spec.config, spec.batch_size
    view = family.view(config, info)
    sheet = CostSheet()
    size, channels = view.size, view.channels
    for layer, (stride, width) in enumerate(zip(strides(config), widths(config), strict=True)):
        size = costing.convolution(
            sheet,
            batch=rows,
            size=size,
            channels=channels,
            features=width,
            kernel=KERNEL,
            stride=stride,
            input_gradient=layer > 0,
        )
        costing.activation(sheet, rows * size * size * width, config.activation)
        costing.normalization(sheet, rows * size * size, width, config.normalization)
        channels = width
    # Mean over pixels: a sum forward; the backward pass only repeats.
    sheet.elementwise(rows * size * size * channels, forward=1, backward=0, saved=0)
    sheet.elementwise(rows * channels, forward=1, backward=1)
    sheet.dense(rows, channels, view.num_classes, gradients=2 if config.num_layers else 1)
    costing.cross_entropy(sheet, rows, view.num_classes)
    return sheet.total(batch_size=rows, batch_floats=rows * (view.pixels + 1))


family = Family(
    name="cnn",
    config=CNNConfig,
    network=network,
    cost=cost,
    shrink={"hidden_size": 4, "image_size": 4, "batch_size": 4, "num_layers": 1},
)
