"""ViT-S/16 as the MLCommons workload has it, at any size."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from velodrome.taskgen.families.networks.patches import AttentionBlock
from velodrome.taskgen.families.vit_s16 import ViTS16Config
from velodrome.taskgen.functions import Dynamic
from velodrome.taskgen.nn.conv import PatchEmbedding
from velodrome.taskgen.nn.images import mix_images, standardize
from velodrome.taskgen.nn.layers import drop
from velodrome.taskgen.nn.losses import Prediction
from velodrome.taskgen.nn.positions import sinusoids
from velodrome.taskgen.nn.transformers import layer_norm
from velodrome.taskgen.views import ImageView


def place_codes(side: int, width: int) -> np.ndarray:
    """Return f32[1, side*side, width]: `sinusoids` of the column, then of the row.

    Each has ``width // 4`` frequencies; channels that are left over are 0.
    """
    codes = sinusoids(side, 2 * (width // 4))
    row, column = np.mgrid[:side, :side].reshape(2, -1)
    spare = np.zeros((side * side, width % 4), np.float32)
    return np.concatenate([codes[column], codes[row], spare], axis=1)[None]


class ViTS16(nnx.Module):
    """Patches with places, blocks, layer norm, mean over the patches, dense, tanh, dense.

    It maps images f32[B,H,W,C] from 0 to 1 to a `Prediction` of the classes.
    """

    def __init__(self, config: ViTS16Config, view: ImageView, *, rngs: nnx.Rngs, dynamic: Dynamic):
        del dynamic  # there are no dynamic choices
        width = config.hidden_size
        self.num_layers, self.rate = config.num_layers, config.dropout
        self.label_smoothing, self.mixup = config.label_smoothing, config.mixup
        self.patches = PatchEmbedding(config.patch_size, view.channels, width, rngs=rngs)
        for layer in range(config.num_layers):
            setattr(self, f"block_{layer}", AttentionBlock(config, rngs))
        self.output_norm = layer_norm(width, rngs)
        self.pooled = nnx.Linear(width, width, rngs=rngs)  # LeCun normal, biases zero
        zeros = nnx.initializers.zeros
        self.output = nnx.Linear(width, view.num_classes, kernel_init=zeros, rngs=rngs)

    def __call__(self, image: jax.Array, *, train: bool, key: jax.Array) -> Prediction:
        dropping = train and self.rate
        image, own = standardize(image), None
        if train and self.mixup:
            # `fold_in(key, 0)` would be the first of the keys that it is split into below.
            key, mixing = jax.random.split(key)
            image, own = mix_images(image, self.mixup, mixing)
        keys = iter(jax.random.split(key, 1 + 3 * self.num_layers)) if dropping else None
        x = self.patches(image)
        side = image.shape[1] // self.patches.patch_size
        x = drop(x + jnp.asarray(place_codes(side, x.shape[-1])), self.rate, keys)
        for layer in range(self.num_layers):
            x = getattr(self, f"block_{layer}")(x, keys)
        pooled = jnp.tanh(self.pooled(self.output_norm(x).mean(axis=1)))
        return Prediction(self.output(pooled), self.label_smoothing if train else 0.0, own)
