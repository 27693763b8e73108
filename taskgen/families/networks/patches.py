"""Networks on patches of images f32[B,H,W,C], to logits f32[B,classes]: ViT and MLP-Mixer.

The blocks of ViT serve `velodrome.taskgen.families.networks.vit_s16` too.
"""

from __future__ import annotations

from typing import Protocol

import jax
import jax.numpy as jnp
from flax import nnx

from velodrome.taskgen.families.mlp_mixer import MLPMixerConfig, tokens
from velodrome.taskgen.families.vit import ViTConfig
from velodrome.taskgen.functions import Dynamic
from velodrome.taskgen.nn.conv import PatchEmbedding
from velodrome.taskgen.nn.layers import Keys, drop
from velodrome.taskgen.nn.transformers import MultiHead, layer_norm, mlp_layer
from velodrome.taskgen.views import ImageView

POSITION_STD = 0.02


class BlockConfig(Protocol):
    """What blocks read of a config; `velodrome.taskgen.families.vit.ViTConfig` says what it is."""

    @property
    def num_heads(self) -> int: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def mlp_dim(self) -> int: ...
    @property
    def dropout(self) -> float: ...
    @property
    def attention_dropout(self) -> float: ...


class Attention(MultiHead):
    """Attention to all tokens, f32[B,T,d] to f32[B,T,d]."""

    def __init__(self, config: BlockConfig, rngs: nnx.Rngs):
        super().__init__(config.num_heads, config.head_dim, rngs)
        self.rate, self.scale = config.attention_dropout, config.head_dim**-0.5

    def __call__(self, x: jax.Array, keys: Keys) -> jax.Array:
        weights = self.weigh(self.project(x, "query") * self.scale, self.project(x, "key"))
        return self.merge(drop(weights, self.rate, keys), self.project(x, "value"))


class AttentionBlock(nnx.Module):
    """Attention and MLP, each after a layer norm and added to its input."""

    def __init__(self, config: BlockConfig, rngs: nnx.Rngs):
        self.rate = config.dropout
        width = config.hidden_size
        self.attention_norm = layer_norm(width, rngs)
        self.mlp_norm = layer_norm(width, rngs)
        self.attention = Attention(config, rngs)
        self.mlp_in = mlp_layer(width, config.mlp_dim, rngs)
        self.mlp_out = mlp_layer(config.mlp_dim, width, rngs)

    def __call__(self, x: jax.Array, keys: Keys) -> jax.Array:
        x = x + drop(self.attention(self.attention_norm(x), keys), self.rate, keys)
        hidden = jax.nn.gelu(self.mlp_in(self.mlp_norm(x)), approximate=True)
        hidden = self.mlp_out(drop(hidden, self.rate, keys))
        return x + drop(hidden, self.rate, keys)


class ViT(nnx.Module):
    """Patches and a class token with positions, blocks, layer norm, dense on the token."""

    def __init__(self, config: ViTConfig, view: ImageView, *, rngs: nnx.Rngs, dynamic: Dynamic):
        del dynamic  # the published family has no dynamic choices
        width = config.hidden_size
        self.num_layers, self.rate = config.num_layers, config.dropout
        self.dropping = bool(config.dropout or config.attention_dropout)
        self.patches = PatchEmbedding(config.patch_size, view.channels, width, rngs=rngs)
        self.class_token = nnx.Param(jnp.zeros((1, 1, width), jnp.float32))
        count = (view.size // config.patch_size) ** 2 + 1
        positions = nnx.initializers.normal(POSITION_STD, jnp.float32)(
            rngs.params(), (1, count, width)
        )
        self.positions = nnx.Param(positions)
        for layer in range(config.num_layers):
            setattr(self, f"block_{layer}", AttentionBlock(config, rngs))
        self.output_norm = layer_norm(width, rngs)
        self.output = nnx.Linear(
            width, view.num_classes, kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(self, image: jax.Array, *, train: bool, key: jax.Array) -> jax.Array:
        dropping = train and self.dropping
        keys = iter(jax.random.split(key, 1 + 4 * self.num_layers)) if dropping else None
        token = self.class_token[...]
        tokens = jnp.broadcast_to(token, (image.shape[0], *token.shape[1:]))
        x = jnp.concatenate([tokens, self.patches(image)], axis=1) + self.positions[...]
        x = drop(x, self.rate, keys)
        for layer in range(self.num_layers):
            x = getattr(self, f"block_{layer}")(x, keys)
        return self.output(self.output_norm(x)[:, 0])


class TwoLayers(nnx.Module):
    """Dense, GELU, and dense back, along the last axis."""

    def __init__(self, size: int, hidden: int, rngs: nnx.Rngs):
        self.dense_in = nnx.Linear(size, hidden, rngs=rngs)  # LeCun normal, biases zero
        self.dense_out = nnx.Linear(hidden, size, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.dense_out(jax.nn.gelu(self.dense_in(x), approximate=True))


class MixerBlock(nnx.Module):
    """An MLP along the tokens and one along the channels, each after a norm and added."""

    def __init__(self, config: MLPMixerConfig, count: int, rngs: nnx.Rngs):
        width = config.hidden_size
        self.tokens_norm = layer_norm(width, rngs)
        self.tokens = TwoLayers(count, config.tokens_mlp_dim, rngs)
        self.channels_norm = layer_norm(width, rngs)
        self.channels = TwoLayers(width, config.channels_mlp_dim, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.tokens(self.tokens_norm(x).swapaxes(1, 2)).swapaxes(1, 2)
        return x + self.channels(self.channels_norm(x))


class MLPMixer(nnx.Module):
    """Patches, blocks, layer norm, mean over the tokens, dense."""

    def __init__(
        self, config: MLPMixerConfig, view: ImageView, *, rngs: nnx.Rngs, dynamic: Dynamic
    ):
        del dynamic  # there are no dynamic choices
        width = config.hidden_size
        self.num_layers = config.num_layers
        self.patches = PatchEmbedding(config.patch_size, view.channels, width, rngs=rngs)
        for layer in range(config.num_layers):
            setattr(self, f"block_{layer}", MixerBlock(config, tokens(config), rngs))
        self.output_norm = layer_norm(width, rngs)
        self.output = nnx.Linear(
            width, view.num_classes, kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(self, image: jax.Array) -> jax.Array:
        x = self.patches(image)
        for layer in range(self.num_layers):
            x = getattr(self, f"block_{layer}")(x)
        return self.output(self.output_norm(x).mean(axis=1))
