"""Language modelling by a decoder-only transformer (``lm_transformer`` of the published tasks).

As published, it has no positional encoding (the causal mask alone tells positions apart), and
the width of attention is ``num_heads * key_size`` whatever the model's width is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from velodrome.taskgen.cost.sheet import Cost, CostSheet
from velodrome.taskgen.family import Family, deferred
from velodrome.taskgen.nn import costing, initializers
from velodrome.taskgen.space.config import dynamic, fixed, log_int, static
from velodrome.taskgen.spec import TaskSpec

MLP_RATIO = 4
LAYER_NORM_EPSILON = 1e-5
MASKED = -1e30


@dataclass(frozen=True)
class TransformerConfig:
    """Config of the family "transformer"; distributions of Metz et al. 2022 (2211.09760).

    The published family has no dynamic choices; ``dropout`` and ``init_scale`` are fixed there,
    and may be set here.

    Attributes:
      d_model_per_head: The model's width, divided by ``num_heads``.
      num_heads: Attention heads.
      key_size: Width of keys, queries and values of a head.
      num_layers: Blocks of attention and MLP.
      sequence_length: Tokens in a training sequence.
      vocab_size: Classes that are predicted; tokens beyond are folded into them.
      dropout: Rate, on the outputs of attention and MLP, while training.
      init_scale: The kernels in the blocks have variance ``init_scale / (num_layers * fan_in)``.
    """

    d_model_per_head: int = static(log_int(8, 128), allowed=(1, 4096), default=8)
    num_heads: int = static(log_int(8, 128), allowed=(1, 1024), default=8)
    key_size: int = static(fixed(32), allowed=(1, 1024), default=32)
    num_layers: int = static(log_int(1, 8), allowed=(1, 256), default=2)
    sequence_length: int = static(log_int(4, 512), allowed=(1, 16_384), default=32)
    vocab_size: int = static(log_int(100, 10_000), allowed=(2, 1_000_000), default=256)
    dropout: float = dynamic(fixed(0.1), allowed=(0.0, 0.99), default=0.1)
    init_scale: float = dynamic(fixed(2.0), allowed=(1e-3, 1e3), default=2.0)

    @property
    def d_model(self) -> int:
        """The model's width."""
        return self.num_heads * self.d_model_per_head


@deferred
def network() -> type:
    """Defines the network: tokens i32[B,T] to logits f32[B,T,vocab]."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from velodrome.taskgen.nn import layers as _layers
    from velodrome.taskgen.nn.losses import PAD

    def layer_norm(size, rngs):
        return nnx.LayerNorm(size, epsilon=LAYER_NORM_EPSILON, rngs=rngs)

    class Attention(nnx.Module):
        """Multi-head attention, f32[B,T,d] to f32[B,T,d], where ``mask`` b[B,T,T] allows it."""

        def __init__(self, config, kernel_init, rngs):
            self.heads, self.key_size = config.num_heads, config.key_size
            width, inner = config.d_model, config.num_heads * config.key_size
            self.query = nnx.Linear(width, inner, kernel_init=kernel_init, rngs=rngs)
            self.key = nnx.Linear(width, inner, kernel_init=kernel_init, rngs=rngs)
            self.value = nnx.Linear(width, inner, kernel_init=kernel_init, rngs=rngs)
            self.out = nnx.Linear(inner, width, kernel_init=kernel_init, rngs=rngs)

        def __call__(self, x, mask):
            batch, length, _ = x.shape
            shape = (batch, length, self.heads, self.key_size)
            query = self.query(x).reshape(shape) * self.key_size**-0.5
            key = self.key(x).reshape(shape)
            value = self.value(x).reshape(shape)
            scores = jnp.einsum("bthk,bshk->bhts", query, key)
            weights = jax.nn.softmax(jnp.where(mask[:, None], scores, MASKED))
            mixed = jnp.einsum("bhts,bshk->bthk", weights, value)
            return self.out(mixed.reshape(batch, length, -1))

    class Block(nnx.Module):
        """Attention and MLP, each after a layer norm and added to its input."""

        def __init__(self, config, kernel_init, rngs):
            width = config.d_model
            self.attention_norm = layer_norm(width, rngs)
            self.attention = Attention(config, kernel_init, rngs)
            self.mlp_norm = layer_norm(width, rngs)
            self.mlp_in = nnx.Linear(width, MLP_RATIO * width, kernel_init=kernel_init, rngs=rngs)
            self.mlp_out = nnx.Linear(MLP_RATIO * width, width, kernel_init=kernel_init, rngs=rngs)

        def __call__(self, x, mask, dropout):
            x = x + dropout(self.attention(self.attention_norm(x), mask))
            hidden = jax.nn.gelu(self.mlp_in(self.mlp_norm(x)), approximate=True)
            return x + dropout(self.mlp_out(hidden))

    class Transformer(nnx.Module):
        """Embedding, blocks, layer norm, dense."""

        def __init__(self, config, view, *, rngs, dynamic):
            kernel_init = initializers.scaled_truncated_normal(
                dynamic["init_scale"] / config.num_layers
            )
            self.num_layers = config.num_layers
            embedding_init = initializers.truncated_normal(1.0)
            self.embedding = nnx.Param(
                embedding_init(rngs.params(), (view.vocab_size, config.d_model))
            )
            for layer in range(config.num_layers):
                setattr(self, f"block_{layer}", Block(config, kernel_init, rngs))
            self.output_norm = layer_norm(config.d_model, rngs)
            output_init = initializers.fan_in_truncated_normal()
            self.output = nnx.Linear(
                config.d_model, view.vocab_size, kernel_init=output_init, rngs=rngs
            )

        def __call__(self, tokens, *, train, key, dynamic):
            length, rate = tokens.shape[1], dynamic["dropout"]
            causal = jnp.tril(jnp.ones((length, length), bool))
            mask = causal[None] & (tokens != PAD)[:, None, :]
            # A constant rate of zero costs nothing; a traced one is always drawn for.
            dropping = train and not (isinstance(rate, int | float) and rate == 0)
            keys = iter(jax.random.split(key, 2 * self.num_layers) if dropping else ())

            def dropout(x):
                return _layers.dropout(x, rate, next(keys)) if dropping else x

            x = self.embedding[...][tokens]
            for layer in range(self.num_layers):
                x = getattr(self, f"block_{layer}")(x, mask, dropout)
            return self.output(self.output_norm(x))

    return Transformer


def cost(spec: TaskSpec, info: Any) -> Cost:
    """Returns the cost of a step in closed form."""
    config, rows = spec.config, spec.batch_size
    view = family.view(config, info)
    width, heads, length = config.d_model, config.num_heads, config.sequence_length
    inner, tokens = heads * config.key_size, rows * length
    dropped = config.dropout > 0
    sheet = CostSheet()
    costing.embedding(sheet, tokens=tokens, vocab_size=view.vocab_size, size=width)
    for _ in range(config.num_layers):
        costing.layer_norm(sheet, tokens, width)
        for _ in ("query", "key", "value"):
            sheet.dense(tokens, width, inner)
        sheet.elementwise(tokens * inner, forward=1, backward=1, saved=0)  # scaled queries
        sheet.product(length, config.key_size, length, times=rows * heads)
        costing.softmax(sheet, rows * heads * length, length)
        sheet.product(length, length, config.key_size, times=rows * heads)
        sheet.dense(tokens, inner, width)
        sheet.elementwise(2 * tokens * width, forward=1, backward=2)  # gradients meet three times
        costing.layer_norm(sheet, tokens, width)
        sheet.dense(tokens, width, MLP_RATIO * width)
        costing.activation(sheet, tokens * MLP_RATIO * width, "gelu")
        sheet.dense(tokens, MLP_RATIO * width, width)
        # Drawing the mask (scaling bits to [0, 1) takes three), and dividing.
        sheet.elementwise(2 * tokens * width, forward=4 * dropped, backward=dropped)
    costing.layer_norm(sheet, tokens, width)
    sheet.dense(tokens, width, view.vocab_size)
    costing.language_model_loss(sheet, tokens, view.vocab_size)
    return sheet.total(batch_size=rows, batch_floats=2 * tokens)


family = Family(
    name="transformer",
    config=TransformerConfig,
    network=network,
    data_kind="text",
    cost=cost,
    shrink={
        "vocab_size": 100,
        "num_heads": 1,
        "d_model_per_head": 8,
        "batch_size": 4,
        "sequence_length": 8,
        "num_layers": 1,
    },
)
