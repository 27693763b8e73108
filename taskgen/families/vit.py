"""Image classification by a transformer on patches (``vit`` of the published tasks).

The vision transformer of Dosovitskiy et al. 2020 (arXiv 2010.11929): a class token before the
patches, learned positions, blocks with the norm first, a linear map of the class token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family, deferred
from velodrome.taskgen.nn import costing
from velodrome.taskgen.nn.normalizers import deep_classification
from velodrome.taskgen.space.config import boolean, choice, log_int, static, uniform_float
from velodrome.taskgen.space.draws import Draws
from velodrome.taskgen.spec import TaskSpec

LAYER_NORM_EPSILON = 1e-6
POSITION_STD = 0.02
MLP_BIAS_STD = 1e-6
HEADS = log_int(1, 16)
FEW_HEADS = 4
DROPPING = boolean(0.7)
DROPOUT_RATE = uniform_float(0.0, 0.8)


@dataclass(frozen=True)
class HeadDim:
    """The width of a head: networks with few heads may have wider ones."""

    def sample(self, draws: Draws, name: str) -> int:
        """Returns a width, by the same draw of the number of heads as the config's."""
        few = HEADS.sample(draws, "num_heads") < FEW_HEADS
        return log_int(8, 64 if few else 32).sample(draws, name)

    def describe(self) -> str:
        """Returns the distribution in words."""
        few, many = log_int(8, 64).describe(), log_int(8, 32).describe()
        return f"{few} with fewer than {FEW_HEADS} heads, else {many}"


@dataclass(frozen=True)
class DropoutRate:
    """A rate, or 0 for a task without dropout, which all rates of a task are together."""

    def sample(self, draws: Draws, name: str) -> float:
        """Returns a rate."""
        dropping = DROPPING.sample(draws, "use_dropout")
        return DROPOUT_RATE.sample(draws, name) if dropping else 0.0

    def describe(self) -> str:
        """Returns the distribution in words."""
        return f"{DROPOUT_RATE.describe()} with probability 0.7 for both rates together, else 0"


@dataclass(frozen=True)
class ViTConfig:
    """Config of the family "vit"; distributions of Metz et al. 2022 (arXiv 2211.09760).

    Attributes:
      num_layers: Blocks of attention and MLP.
      num_heads: Attention heads.
      head_dim: Width of keys, queries and values of a head; times ``num_heads`` the width of the
        model.
      mlp_dim: Width of the MLP's hidden layer.
      patch_size: Height and width of a patch. Pixels that fill no patch are left out.
      image_size: Height and width in pixels that images are resized to.
      dropout: Rate, while training, after adding the positions, after attention, and twice in
        the MLP.
      attention_dropout: Rate, while training, on the weights of attention.
    """

    num_layers: int = static(log_int(1, 16), allowed=(1, 256), default=2)
    num_heads: int = static(HEADS, allowed=(1, 256), default=4)
    head_dim: int = static(HeadDim(), allowed=(1, 1024), default=16)
    mlp_dim: int = static(log_int(32, 512), allowed=(1, 65_536), default=128)
    patch_size: int = static(choice((2, 4, 8, 12, 16)), allowed=(1, 256), default=4)
    image_size: int = static(log_int(8, 64), allowed=(1, 256), default=16)
    dropout: float = static(DropoutRate(), allowed=(0.0, 0.99), default=0.0)
    attention_dropout: float = static(DropoutRate(), allowed=(0.0, 0.99), default=0.0)

    @property
    def hidden_size(self) -> int:
        """The model's width."""
        return self.num_heads * self.head_dim


@deferred
def network() -> type:
    """Defines the network: images f32[B,H,W,C] to logits f32[B,classes]."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from velodrome.taskgen.nn import layers as _layers
    from velodrome.taskgen.nn.patches import PatchEmbedding

    make = nnx.initializers
    xavier = make.xavier_uniform()

    def drop(x, rate, keys):
        return _layers.dropout(x, rate, next(keys)) if rate and keys is not None else x

    class Attention(nnx.Module):
        """Multi-head attention, f32[B,T,d] to f32[B,T,d]; kernels are [d,heads,head_dim]."""

        def __init__(self, config, rngs):
            self.rate, self.scale = config.attention_dropout, config.head_dim**-0.5
            width, heads = config.hidden_size, (config.num_heads, config.head_dim)

            def kernel(shape):
                # Drawn as the matrix it acts as, of which its two sizes give the variance.
                return nnx.Param(xavier(rngs.params(), (width, width)).reshape(shape))

            for name in ("query", "key", "value"):
                setattr(self, name, kernel((width, *heads)))
                setattr(self, f"{name}_bias", nnx.Param(jnp.zeros(heads)))
            self.out = kernel((*heads, width))
            self.out_bias = nnx.Param(jnp.zeros((width,)))

        def project(self, x, name):
            kernel, bias = getattr(self, name), getattr(self, f"{name}_bias")
            return jnp.einsum("btd,dhk->bthk", x, kernel[...]) + bias[...][None, None]

        def __call__(self, x, keys):
            query = self.project(x, "query") * self.scale
            scores = jnp.einsum("bthk,bshk->bhts", query, self.project(x, "key"))
            weights = drop(jax.nn.softmax(scores), self.rate, keys)
            mixed = jnp.einsum("bhts,bshk->bthk", weights, self.project(x, "value"))
            bias = self.out_bias[...][None, None]
            return jnp.einsum("bthk,hkd->btd", mixed, self.out[...]) + bias

    class Block(nnx.Module):
        """Attention and MLP, each after a layer norm and added to its input."""

        def __init__(self, config, rngs):
            self.rate = config.dropout
            width, bias_init = config.hidden_size, make.normal(MLP_BIAS_STD)

            def norm():
                return nnx.LayerNorm(width, epsilon=LAYER_NORM_EPSILON, rngs=rngs)

            def dense(n_in, n_out):
                return nnx.Linear(n_in, n_out, kernel_init=xavier, bias_init=bias_init, rngs=rngs)

            self.attention_norm, self.mlp_norm = norm(), norm()
            self.attention = Attention(config, rngs)
            self.mlp_in = dense(width, config.mlp_dim)
            self.mlp_out = dense(config.mlp_dim, width)

        def __call__(self, x, keys):
            x = x + drop(self.attention(self.attention_norm(x), keys), self.rate, keys)
            hidden = jax.nn.gelu(self.mlp_in(self.mlp_norm(x)), approximate=True)
            hidden = self.mlp_out(drop(hidden, self.rate, keys))
            return x + drop(hidden, self.rate, keys)

    class ViT(nnx.Module):
        """Patches and a class token with positions, blocks, layer norm, dense on the token."""

        def __init__(self, config, view, *, rngs, dynamic):
            del dynamic  # the published family has no dynamic choices
            width = config.hidden_size
            self.num_layers, self.rate = config.num_layers, config.dropout
            self.dropping = bool(config.dropout or config.attention_dropout)
            self.patches = PatchEmbedding(config.patch_size, view.channels, width, rngs=rngs)
            self.class_token = nnx.Param(jnp.zeros((1, 1, width)))
            count = (view.size // config.patch_size) ** 2 + 1
            positions = make.normal(POSITION_STD)(rngs.params(), (1, count, width))
            self.positions = nnx.Param(positions)
            for layer in range(config.num_layers):
                setattr(self, f"block_{layer}", Block(config, rngs))
            self.output_norm = nnx.LayerNorm(width, epsilon=LAYER_NORM_EPSILON, rngs=rngs)
            self.output = nnx.Linear(width, view.num_classes, kernel_init=make.zeros, rngs=rngs)

        def __call__(self, image, *, train, key):
            dropping = train and self.dropping
            keys = iter(jax.random.split(key, 1 + 4 * self.num_layers)) if dropping else None
            token = self.class_token[...]
            tokens = jnp.broadcast_to(token, (image.shape[0], *token.shape[1:]))
            x = jnp.concatenate([tokens, self.patches(image)], axis=1) + self.positions[...]
            x = drop(x, self.rate, keys)
            for layer in range(self.num_layers):
                x = getattr(self, f"block_{layer}")(x, keys)
            return self.output(self.output_norm(x)[:, 0])

    return ViT


def cost(spec: TaskSpec, info: Any) -> Cost:
    """Returns the cost of a step in closed form."""
    config, rows = spec.config, spec.batch_size
    view = family.view(config, info)
    width, heads, head_dim = config.hidden_size, config.num_heads, config.head_dim
    sheet = CostSheet()

    def drop(size, rate):
        if rate:
            costing.dropout(sheet, size)

    length = 1 + costing.patch_embedding(
        sheet,
        batch=rows,
        size=view.size,
        channels=view.channels,
        patch=config.patch_size,
        features=width,
    )
    tokens, pairs = rows * length, rows * heads * length * length
    sheet.parameters(width + length * width)
    sheet.elementwise(tokens * width, forward=1, backward=1)  # positions
    drop(tokens * width, config.dropout)
    for _ in range(config.num_layers):
        costing.layer_norm(sheet, tokens, width)
        for _ in ("query", "key", "value"):
            sheet.dense(tokens, width, width)
        sheet.elementwise(tokens * width, forward=1, backward=1, saved=0)  # scaled queries
        sheet.product(length, head_dim, length, times=rows * heads)
        costing.softmax(sheet, rows * heads * length, length)
        drop(pairs, config.attention_dropout)
        sheet.product(length, length, head_dim, times=rows * heads)
        sheet.dense(tokens, width, width)
        drop(tokens * width, config.dropout)
        sheet.elementwise(2 * tokens * width, forward=1, backward=2)  # gradients meet three times
        costing.layer_norm(sheet, tokens, width)
        sheet.dense(tokens, width, config.mlp_dim)
        costing.activation(sheet, tokens * config.mlp_dim, "gelu")
        drop(tokens * config.mlp_dim, config.dropout)
        sheet.dense(tokens, config.mlp_dim, width)
        drop(tokens * width, config.dropout)
    costing.layer_norm(sheet, tokens, width)
    sheet.dense(rows, width, view.num_classes)
    costing.cross_entropy(sheet, rows, view.num_classes)
    return sheet.total(batch_size=rows, batch_floats=rows * (view.pixels + 1))


family = Family(
    name="vit",
    config=ViTConfig,
    network=network,
    batch_size=log_int(4, 256),
    cost=cost,
    normalize=deep_classification,
    shrink={
        "num_heads": 1,
        "head_dim": 8,
        "mlp_dim": 32,
        "image_size": 8,
        "batch_size": 4,
        "num_layers": 1,
    },
)
