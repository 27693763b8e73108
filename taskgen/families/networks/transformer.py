"""The decoder-only transformer."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from velodrome.taskgen.families.transformer import MLP_RATIO, TransformerConfig
from velodrome.taskgen.functions import Dynamic
from velodrome.taskgen.nn.initializers import (
    Initializer,
    fan_in_truncated_normal,
    scaled_truncated_normal,
    truncated_normal,
)
from velodrome.taskgen.nn.layers import dropout
from velodrome.taskgen.nn.losses import PAD
from velodrome.taskgen.views import TextView

LAYER_NORM_EPSILON = 1e-5
MASKED = -1e30


def _layer_norm(size: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(size, epsilon=LAYER_NORM_EPSILON, rngs=rngs)


class Attention(nnx.Module):
    """Multi-head attention, f32[B,T,d] to f32[B,T,d], where ``mask`` b[B,T,T] allows it."""

    def __init__(self, config: TransformerConfig, kernel_init: Initializer, rngs: nnx.Rngs):
        self.heads, self.key_size = config.num_heads, config.key_size
        width, inner = config.d_model, config.num_heads * config.key_size
        self.query = nnx.Linear(width, inner, kernel_init=kernel_init, rngs=rngs)
        self.key = nnx.Linear(width, inner, kernel_init=kernel_init, rngs=rngs)
        self.value = nnx.Linear(width, inner, kernel_init=kernel_init, rngs=rngs)
        self.out = nnx.Linear(inner, width, kernel_init=kernel_init, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
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

    def __init__(self, config: TransformerConfig, kernel_init: Initializer, rngs: nnx.Rngs):
        width = config.d_model
        self.attention_norm = _layer_norm(width, rngs)
        self.attention = Attention(config, kernel_init, rngs)
        self.mlp_norm = _layer_norm(width, rngs)
        self.mlp_in = nnx.Linear(width, MLP_RATIO * width, kernel_init=kernel_init, rngs=rngs)
        self.mlp_out = nnx.Linear(MLP_RATIO * width, width, kernel_init=kernel_init, rngs=rngs)

    def __call__(
        self, x: jax.Array, mask: jax.Array, drop: Callable[[jax.Array], jax.Array]
    ) -> jax.Array:
        x = x + drop(self.attention(self.attention_norm(x), mask))
        hidden = jax.nn.gelu(self.mlp_in(self.mlp_norm(x)), approximate=True)
        return x + drop(self.mlp_out(hidden))


class Transformer(nnx.Module):
    """Embedding, blocks, layer norm, dense: tokens i32[B,T] to logits f32[B,T,vocab]."""

    def __init__(
        self, config: TransformerConfig, view: TextView, *, rngs: nnx.Rngs, dynamic: Dynamic
    ):
        kernel_init = scaled_truncated_normal(dynamic["init_scale"] / config.num_layers)
        self.num_layers = config.num_layers
        embedding_init = truncated_normal(1.0)
        self.embedding = nnx.Param(embedding_init(rngs.params(), (view.vocab_size, config.d_model)))
        for layer in range(config.num_layers):
            setattr(self, f"block_{layer}", Block(config, kernel_init, rngs))
        self.output_norm = _layer_norm(config.d_model, rngs)
        output_init = fan_in_truncated_normal()
        self.output = nnx.Linear(
            config.d_model, view.vocab_size, kernel_init=output_init, rngs=rngs
        )

    def __call__(
        self, tokens: jax.Array, *, train: bool, key: jax.Array, dynamic: Dynamic
    ) -> jax.Array:
        length, rate = tokens.shape[1], dynamic["dropout"]
        causal = jnp.tril(jnp.ones((length, length), bool))
        mask = causal[None] & (tokens != PAD)[:, None, :]
        # A constant rate of zero costs nothing; with a traced one, masks are always drawn.
        dropping = train and not (isinstance(rate, int | float) and rate == 0)
        keys = iter(jax.random.split(key, 2 * self.num_layers) if dropping else ())

        def drop(x: jax.Array) -> jax.Array:
            return dropout(x, rate, next(keys)) if dropping else x

        x = self.embedding[...][tokens]
        for layer in range(self.num_layers):
            x = getattr(self, f"block_{layer}")(x, mask, drop)
        return self.output(self.output_norm(x))
