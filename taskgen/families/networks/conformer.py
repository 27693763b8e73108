"""The Conformer: convolutions and attention, from samples to logits f32[B,T,vocab]."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from velodrome.taskgen.families.conformer import ConformerConfig
from velodrome.taskgen.families.networks.speech import Stem, dense
from velodrome.taskgen.functions import Batch, Dynamic
from velodrome.taskgen.nn.initializers import XAVIER
from velodrome.taskgen.nn.layers import Keys, drop
from velodrome.taskgen.nn.masked import LayerNorm, MaskedBatchNorm, keep
from velodrome.taskgen.nn.positions import sinusoids
from velodrome.taskgen.nn.transformers import MultiHead
from velodrome.taskgen.views import AudioView

# One over softplus(0): a query scale that is stored as 0 multiplies by 1.
_OVER_SOFTPLUS_OF_ZERO = 1.442695041


class FeedForward(nnx.Module):
    """Layer norm, dense, swish, dense, with padding set to 0."""

    def __init__(self, config: ConformerConfig, rngs: nnx.Rngs):
        width, hidden = config.width, config.hidden_multiple * config.width
        self.rate = config.dropout
        self.norm = LayerNorm(width)
        self.dense_in, self.dense_out = dense(width, hidden, rngs), dense(hidden, width, rngs)

    def __call__(self, x: jax.Array, padding: jax.Array, keys: Keys) -> jax.Array:
        hidden = jax.nn.silu(self.dense_in(self.norm(x))) * keep(padding)
        return drop(self.dense_out(hidden) * keep(padding), self.rate, keys)


class Attention(MultiHead):
    """Layer norm and attention whose queries have a learned scale for each number of a head.

    Frames of padding are attended to by no other.
    """

    def __init__(self, config: ConformerConfig, rngs: nnx.Rngs):
        super().__init__(config.num_heads, config.head_dim, rngs)
        self.rate = config.dropout
        self.norm = LayerNorm(config.width)
        self.query_scale = nnx.Param(jnp.zeros((config.head_dim,), jnp.float32))

    def __call__(self, x: jax.Array, padding: jax.Array, keys: Keys) -> jax.Array:
        x = self.norm(x)
        learned = jax.nn.softplus(self.query_scale[...]) * _OVER_SOFTPLUS_OF_ZERO
        scale = learned * learned.shape[0] ** -0.5
        query = self.project(x, "query") * scale[None, None, None]
        kept = padding == 0
        both = kept[:, :, None] & kept[:, None]
        weights = self.weigh(query, self.project(x, "key"), both)
        return drop(self.merge(weights, self.project(x, "value")), self.rate, keys)


class Convolution(nnx.Module):
    """Layer norm, gated dense, convolution along time of each channel, batch norm, swish, dense."""

    def __init__(self, config: ConformerConfig, rngs: nnx.Rngs):
        width = config.width
        self.norm = LayerNorm(width)
        self.value, self.gate = dense(width, width, rngs), dense(width, width, rngs)
        self.kernel = nnx.Param(XAVIER(rngs.params(), (config.kernel_size, 1, width)))
        self.batch_norm = MaskedBatchNorm(width)
        self.out = dense(width, width, rngs)

    def __call__(self, x: jax.Array, padding: jax.Array, *, train: bool) -> jax.Array:
        x = self.norm(x)
        x = self.value(x) * jax.nn.sigmoid(self.gate(x)) * keep(padding)
        x = self.batch_norm(along_time(x, self.kernel[...]), padding, train=train)
        return self.out(jax.nn.silu(x))


def along_time(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve each channel of f32[B,T,C] with f32[K,1,C], with "SAME" padding.

    It is a sum of shifted copies: a grouped convolution is slow on a CPU.
    """
    taps, length = len(kernel), x.shape[1]
    padded = jnp.pad(x, ((0, 0), ((taps - 1) // 2, taps // 2), (0, 0)))
    shifted = (padded[:, tap : tap + length] * kernel[tap][None] for tap in range(taps))
    return sum(shifted, start=jnp.zeros((), jnp.float32)[None, None, None])


class Block(nnx.Module):
    """Half a feed-forward step, attention, convolution, the other half; layer norm."""

    def __init__(self, config: ConformerConfig, rngs: nnx.Rngs):
        self.first, self.second = FeedForward(config, rngs), FeedForward(config, rngs)
        self.attention = Attention(config, rngs)
        self.convolution = Convolution(config, rngs)
        self.norm = LayerNorm(config.width)

    def __call__(self, x: jax.Array, padding: jax.Array, keys: Keys, *, train: bool) -> jax.Array:
        x = x + 0.5 * self.first(x, padding, keys)
        x = x + self.attention(x, padding, keys)
        x = x + self.convolution(x, padding, train=train)
        x = x + 0.5 * self.second(x, padding, keys)
        return self.norm(x)


class Conformer(nnx.Module):
    """Stem with positions, blocks, layer norm, dense: logits, and the padding of their frames."""

    def __init__(
        self, config: ConformerConfig, view: AudioView, *, rngs: nnx.Rngs, dynamic: Dynamic
    ):
        del dynamic  # there are no dynamic choices
        self.width, self.num_blocks, self.rate = config.width, config.num_blocks, config.dropout
        self.stem = Stem(config, view, rngs)
        for block in range(config.num_blocks):
            setattr(self, f"block_{block}", Block(config, rngs))
        self.norm = LayerNorm(config.width)
        self.output = dense(config.width, view.vocab_size, rngs)

    def __call__(self, batch: Batch, *, train: bool, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        keys = iter(jax.random.split(key, 2 + 3 * self.num_blocks)) if train else None
        x, padding = self.stem(batch, keys)
        x = drop(x + jnp.asarray(sinusoids(x.shape[1], self.width))[None], self.rate, keys)
        for block in range(self.num_blocks):
            x = getattr(self, f"block_{block}")(x, padding, keys, train=train)
        return self.output(self.norm(x)), padding
