"""The plain convolutional network."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from velodrome.taskgen.families.cnn import KERNEL, CNNConfig, strides, widths
from velodrome.taskgen.functions import Dynamic
from velodrome.taskgen.nn.activations import activate
from velodrome.taskgen.nn.conv import conv2d
from velodrome.taskgen.nn.initializers import fan_in_truncated_normal, kernel_initializer
from velodrome.taskgen.nn.layers import normalization, normalize
from velodrome.taskgen.views import ImageView


class CNN(nnx.Module):
    """Convolution, activation and norm, repeated; global average pool, dense.

    It maps images f32[B,H,W,C] to logits f32[B,classes].
    """

    def __init__(self, config: CNNConfig, view: ImageView, *, rngs: nnx.Rngs, dynamic: Dynamic):
        kernel_init = kernel_initializer(dynamic)
        self.strides = tuple(strides(config))
        self.normalized = config.normalization != "none"
        channels = view.channels
        for layer, width in enumerate(widths(config)):
            shape = (KERNEL, KERNEL, channels, width)
            conv = nnx.Dict(
                kernel=nnx.Param(kernel_init(rngs.params(), shape)),
                bias=nnx.Param(jnp.zeros(width, jnp.float32)),
            )
            setattr(self, f"conv_{layer}", conv)
            if self.normalized:
                norm = normalization(config.normalization, width, axes=4, rngs=rngs)
                setattr(self, f"norm_{layer}", norm)
            channels = width
        output_init = fan_in_truncated_normal()
        self.output = nnx.Linear(channels, view.num_classes, kernel_init=output_init, rngs=rngs)

    def __call__(self, image: jax.Array, *, train: bool, dynamic: Dynamic) -> jax.Array:
        x = image
        for layer, stride in enumerate(self.strides):
            conv = getattr(self, f"conv_{layer}")
            x = conv2d(x, conv.kernel[...], stride=stride)
            x = x + conv.bias[...][None, None, None]
            x = activate(x, dynamic["activation"])
            if self.normalized:
                x = normalize(getattr(self, f"norm_{layer}"), x, train=train)
        return self.output(x.mean(axis=(1, 2)))
