"""Image classification by an MLP-Mixer (Tolstikhin et al. 2021, arXiv 2105.01601).

There is no published family of it to sample from, only fixed tasks (``MLPMixer_*``): the
distributions are those of the family "vit" where the fields are alike, and ours elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family, deferred
from velodrome.taskgen.nn import costing
from velodrome.taskgen.nn.normalizers import deep_classification
from velodrome.taskgen.space.config import choice, log_int, static
from velodrome.taskgen.spec import TaskSpec

LAYER_NORM_EPSILON = 1e-6


@dataclass(frozen=True)
class MLPMixerConfig:
    """Config of the family "mlp_mixer".

    Attributes:
      num_layers: Blocks, each mixing tokens and then channels.
      hidden_size: Numbers of a token.
      tokens_mlp_dim: Width of the hidden layer of the MLPs along the tokens.
      channels_mlp_dim: Width of the hidden layer of the MLPs along the channels.
      patch_size: Height and width of a patch. Pixels that fill no patch are left out.
      image_size: Height and width in pixels that images are resized to; at least a patch.
    """

    num_layers: int = static(log_int(1, 16), allowed=(1, 256), default=2)
    hidden_size: int = static(log_int(16, 512), allowed=(1, 65_536), default=64)
    tokens_mlp_dim: int = static(log_int(16, 256), allowed=(1, 65_536), default=32)
    channels_mlp_dim: int = static(log_int(32, 512), allowed=(1, 65_536), default=128)
    patch_size: int = static(choice((2, 4, 8)), allowed=(1, 256), default=4)
    image_size: int = static(log_int(8, 64), allowed=(1, 256), default=16)


@deferred
def network() -> type:
    """Defines the network: images f32[B,H,W,C] to logits f32[B,classes]."""
    import jax
    from flax import nnx

    from velodrome.taskgen.nn.patches import PatchEmbedding

    class MLP(nnx.Module):
        """Dense, GELU, and dense back, along the last axis."""

        def __init__(self, size, hidden, rngs):
            self.dense_in = nnx.Linear(size, hidden, rngs=rngs)  # LeCun normal, biases zero
            self.dense_out = nnx.Linear(hidden, size, rngs=rngs)

        def __call__(self, x):
            return self.dense_out(jax.nn.gelu(self.dense_in(x), approximate=True))

    class Block(nnx.Module):
        """An MLP along the tokens and one along the channels, each after a norm and added."""

        def __init__(self, config, count, rngs):
            width = config.hidden_size
            self.tokens_norm = nnx.LayerNorm(width, epsilon=LAYER_NORM_EPSILON, rngs=rngs)
            self.tokens = MLP(count, config.tokens_mlp_dim, rngs)
            self.channels_norm = nnx.LayerNorm(width, epsilon=LAYER_NORM_EPSILON, rngs=rngs)
            self.channels = MLP(width, config.channels_mlp_dim, rngs)

        def __call__(self, x):
            x = x + self.tokens(self.tokens_norm(x).swapaxes(1, 2)).swapaxes(1, 2)
            return x + self.channels(self.channels_norm(x))

    class MLPMixer(nnx.Module):
        """Patches, blocks, layer norm, mean over the tokens, dense."""

        def __init__(self, config, view, *, rngs, dynamic):
            del dynamic  # there are no dynamic choices
            width = config.hidden_size
            self.num_layers = config.num_layers
            self.patches = PatchEmbedding(config.patch_size, view.channels, width, rngs=rngs)
            for layer in range(config.num_layers):
                setattr(self, f"block_{layer}", Block(config, tokens(config), rngs))
            self.output_norm = nnx.LayerNorm(width, epsilon=LAYER_NORM_EPSILON, rngs=rngs)
            self.output = nnx.Linear(
                width, view.num_classes, kernel_init=nnx.initializers.zeros, rngs=rngs
            )

        def __call__(self, image):
            x = self.patches(image)
            for layer in range(self.num_layers):
                x = getattr(self, f"block_{layer}")(x)
            return self.output(self.output_norm(x).mean(axis=1))

    return MLPMixer


def tokens(config: MLPMixerConfig) -> int:
    """Returns the patches of an image.

    Raises:
      SpecError: The patch is larger than the image.
    """
    count = (config.image_size // config.patch_size) ** 2
    if not count:
        raise SpecError("config.patch_size", config.patch_size, f"at most {config.image_size}")
    return count


def cost(spec: TaskSpec, info: Any) -> Cost:
    """Returns the cost of a step in closed form."""
    config, rows = spec.config, spec.batch_size
    view, width, count = family.view(config, info), config.hidden_size, tokens(config)
    sheet = CostSheet()
    costing.patch_embedding(
        sheet,
        batch=rows,
        size=view.size,
        channels=view.channels,
        patch=config.patch_size,
        features=width,
    )
    ways = (
        (rows * width, count, config.tokens_mlp_dim),
        (rows * count, width, config.channels_mlp_dim),
    )
    for _ in range(config.num_layers):
        for vectors, size, hidden in ways:
            costing.layer_norm(sheet, rows * count, width)
            sheet.dense(vectors, size, hidden)
            costing.activation(sheet, vectors * hidden, "gelu")
            sheet.dense(vectors, hidden, size)
            sheet.elementwise(rows * count * width, forward=1, backward=1)  # the sum
    costing.layer_norm(sheet, rows * count, width)
    # Mean over tokens: a sum forward; the backward pass only repeats.
    sheet.elementwise(rows * count * width, forward=1, backward=0, saved=0)
    sheet.elementwise(rows * width, forward=1, backward=1)
    sheet.dense(rows, width, view.num_classes)
    costing.cross_entropy(sheet, rows, view.num_classes)
    return sheet.total(batch_size=rows, batch_floats=rows * (view.pixels + 1))


family = Family(
    name="mlp_mixer",
    config=MLPMixerConfig,
    network=network,
    batch_size=log_int(4, 256),
    cost=cost,
    normalize=deep_classification,
    shrink={
        "hidden_size": 16,
        "channels_mlp_dim": 32,
        "tokens_mlp_dim": 16,
        "batch_size": 4,
        "num_layers": 1,
    },
)
