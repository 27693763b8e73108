"""The encoder-decoder transformer of the MLCommons workload "wmt", at any size.

`WMTTransformer.encode`, `WMTTransformer.start` and `WMTTransformer.step` are for decoding one
token at a time, see `velodrome.taskgen.nn.decoding`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from velodrome.taskgen.families.wmt_transformer import WMTTransformerConfig
from velodrome.taskgen.functions import Batch, Dynamic
from velodrome.taskgen.nn.layers import dropout
from velodrome.taskgen.nn.losses import PAD, Prediction
from velodrome.taskgen.nn.positions import sinusoids
from velodrome.taskgen.nn.transformers import MultiHead, layer_norm, mlp_layer
from velodrome.taskgen.views import PairView

Drop = Callable[[jax.Array], jax.Array]


class Memory(NamedTuple):
    """What a layer of the decoder has seen: keys and values f32[B,T,heads,head_dim].

    Attributes:
      key: Of the target's tokens; those that are to come are zeros.
      value: Likewise.
      source_key: Of the source's tokens.
      source_value: Likewise.
    """

    key: jax.Array
    value: jax.Array
    source_key: jax.Array
    source_value: jax.Array


class Attention(MultiHead):
    """Attention without biases."""

    def __init__(self, config: WMTTransformerConfig, rngs: nnx.Rngs):
        super().__init__(config.num_heads, config.head_dim, rngs, biases=False)
        self.scale = config.head_dim**-0.5

    def keys_and_values(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map f32[B,S,width] to two of f32[B,S,heads,head_dim]."""
        return self.project(x, "key"), self.project(x, "value")

    def attend(self, x: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array) -> jax.Array:
        """Map f32[B,T,width] to itself, by what ``mask`` b[B,T,S] allows."""
        return self.merge(self.weigh(self.project(x, "query") * self.scale, key, mask), value)

    def __call__(self, x: jax.Array, source: jax.Array, mask: jax.Array) -> jax.Array:
        return self.attend(x, *self.keys_and_values(source), mask)


class MLP(nnx.Module):
    """Dense, ReLU, and dense back."""

    def __init__(self, config: WMTTransformerConfig, rngs: nnx.Rngs):
        width, hidden = config.hidden_size, config.mlp_dim
        self.dense_in, self.dense_out = (
            mlp_layer(width, hidden, rngs),
            mlp_layer(hidden, width, rngs),
        )

    def __call__(self, x: jax.Array, drop: Drop) -> jax.Array:
        return drop(self.dense_out(drop(jax.nn.relu(self.dense_in(x)))))


class EncoderBlock(nnx.Module):
    """Attention to the source and an MLP, each after a layer norm and added to its input."""

    def __init__(self, config: WMTTransformerConfig, rngs: nnx.Rngs):
        width = config.hidden_size
        self.attention_norm, self.mlp_norm = layer_norm(width, rngs), layer_norm(width, rngs)
        self.attention, self.mlp = Attention(config, rngs), MLP(config, rngs)

    def __call__(self, x: jax.Array, mask: jax.Array, drop: Drop) -> jax.Array:
        normed = self.attention_norm(x)
        x = x + drop(self.attention(normed, normed, mask))
        return x + self.mlp(self.mlp_norm(x), drop)


class DecoderBlock(nnx.Module):
    """Attention to the target so far and to the source, and an MLP, each after a layer norm."""

    def __init__(self, config: WMTTransformerConfig, rngs: nnx.Rngs):
        width = config.hidden_size
        self.attention_norm = layer_norm(width, rngs)
        self.source_norm = layer_norm(width, rngs)
        self.mlp_norm = layer_norm(width, rngs)
        self.attention = Attention(config, rngs)
        self.source_attention = Attention(config, rngs)
        self.mlp = MLP(config, rngs)

    def __call__(
        self,
        x: jax.Array,
        encoded: jax.Array,
        causal: jax.Array,
        source_mask: jax.Array,
        drop: Drop,
    ) -> jax.Array:
        normed = self.attention_norm(x)
        x = x + drop(self.attention(normed, normed, causal))
        x = x + drop(self.source_attention(self.source_norm(x), encoded, source_mask))
        return x + self.mlp(self.mlp_norm(x), drop)

    def step(
        self, x: jax.Array, memory: Memory, time: jax.Array, source_mask: jax.Array
    ) -> tuple[jax.Array, Memory]:
        """Do as for the whole target, for the token f32[B,1,width] at ``time``."""
        normed = self.attention_norm(x)
        key, value = (
            jax.lax.dynamic_update_slice_in_dim(old, new, time, axis=1)
            for old, new in zip(memory[:2], self.attention.keys_and_values(normed), strict=True)
        )
        seen = (jnp.arange(key.shape[1]) <= time)[None, None]
        x = x + self.attention.attend(normed, key, value, seen)
        source = (memory.source_key, memory.source_value)
        x = x + self.source_attention.attend(self.source_norm(x), *source, source_mask)
        return x + self.mlp(self.mlp_norm(x), lambda hidden: hidden), memory._replace(
            key=key, value=value
        )


def shift_right(target: jax.Array) -> jax.Array:
    """Return i32[B,T] one place later, with 0 in front."""
    return jnp.pad(target, ((0, 0), (1, 0)))[:, :-1]


def same_segment(queries: jax.Array, keys: jax.Array | None) -> jax.Array:
    """Return b[B,T,S], where segments i32[B,T] and i32[B,S] are equal."""
    assert keys is not None  # both sides of a pair are packed
    return queries[:, :, None] == keys[:, None]


def places_in_segments(segments: jax.Array) -> jax.Array:
    """Return i32[B,T], the place of each token from the start of its segment."""
    place = jnp.broadcast_to(jnp.arange(segments.shape[1], dtype=jnp.int32)[None], segments.shape)
    begins = jnp.diff(segments, axis=1, prepend=-1) != 0
    return place - jax.lax.cummax(jnp.where(begins, place, 0), axis=1)


class WMTTransformer(nnx.Module):
    """Encoder of a source i32[B,S] and decoder of a target i32[B,T], to f32[B,T,vocab].

    The decoder sees the target one place later, with 0 in front: its output at a place predicts
    the token there. In a packed row places are counted from the start of each pair, and attention
    stays inside a pair. But the row is shifted as a whole, as in the workload: the first token of a
    later pair is predicted after the end of the pair before.
    """

    def __init__(
        self, config: WMTTransformerConfig, view: PairView, *, rngs: nnx.Rngs, dynamic: Dynamic
    ):
        del dynamic  # there are no dynamic choices
        width = config.hidden_size
        self.num_layers, self.rate = config.num_layers, config.dropout
        self.label_smoothing = config.label_smoothing
        embed = nnx.initializers.normal(1.0, jnp.float32)
        self.embedding = nnx.Param(embed(rngs.params(), (view.vocab_size, width)))
        for layer in range(config.num_layers):
            setattr(self, f"encoder_{layer}", EncoderBlock(config, rngs))
            setattr(self, f"decoder_{layer}", DecoderBlock(config, rngs))
        self.encoder_norm, self.decoder_norm = layer_norm(width, rngs), layer_norm(width, rngs)

    def __call__(self, inputs: Batch, *, train: bool, key: jax.Array) -> Prediction:
        source, target = inputs["source"], inputs["target"]
        drop = self._dropping(key) if train and self.rate else lambda x: x
        segments = inputs.get("source_segment"), inputs.get("target_segment")
        encoded, source_mask = self.encode(source, drop, segments[0])
        length = target.shape[1]
        causal = jnp.tril(jnp.ones((length, length), bool))[None]
        if segments[1] is not None:
            causal = causal & same_segment(segments[1], segments[1])
            source_mask = (source != PAD)[:, None] & same_segment(segments[1], segments[0])
        x = drop(self._embed(shift_right(target)) + self._codes(length, segments[1]))
        for layer in range(self.num_layers):
            x = getattr(self, f"decoder_{layer}")(x, encoded, causal, source_mask, drop)
        return Prediction(self._logits(x), self.label_smoothing if train else 0.0)

    def encode(
        self, source: jax.Array, drop: Drop, segments: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Return f32[B,S,width] of a source i32[B,S], and b[B,1,S]: where it has tokens.

        With ``segments`` i32[B,S] this is b[B,S,S]: where it has tokens of the same segment.
        """
        x = drop(self._embed(source) + self._codes(source.shape[1], segments))
        mask = (source != PAD)[:, None]
        if segments is not None:
            mask = mask & same_segment(segments, segments)
        for layer in range(self.num_layers):
            x = getattr(self, f"encoder_{layer}")(x, mask, drop)
        return self.encoder_norm(x), mask

    def start(self, source: jax.Array, length: int) -> tuple[tuple[Memory, ...], jax.Array]:
        """Return what `step` needs for a source i32[B,S] and a target of ``length`` tokens."""
        encoded, source_mask = self.encode(source, lambda x: x)
        memories = []
        for layer in range(self.num_layers):
            block: DecoderBlock = getattr(self, f"decoder_{layer}")
            key, value = block.source_attention.keys_and_values(encoded)
            empty = jnp.zeros((key.shape[0], length, *key.shape[2:]), key.dtype)
            memories.append(Memory(empty, empty, key, value))
        return tuple(memories), source_mask

    def step(
        self,
        memories: tuple[Memory, ...],
        source_mask: jax.Array,
        token: jax.Array,
        time: jax.Array,
    ) -> tuple[jax.Array, tuple[Memory, ...]]:
        """Return logits f32[B,vocab] of the token at ``time``, after i32[B] at the time before."""
        codes = jnp.asarray(sinusoids(memories[0].key.shape[1], self.embedding.shape[1]))[None]
        x = self._embed(token[:, None]) + jax.lax.dynamic_slice_in_dim(codes, time, 1, axis=1)
        kept = []
        for layer, memory in enumerate(memories):
            x, memory = getattr(self, f"decoder_{layer}").step(x, memory, time, source_mask)
            kept.append(memory)
        return self._logits(x)[:, 0], tuple(kept)

    def _codes(self, length: int, segments: jax.Array | None) -> jax.Array:
        """Return the codes of places, f32[1,T,width], or f32[B,T,width] by segment."""
        codes = jnp.asarray(sinusoids(length, self.embedding.shape[1]))
        return codes[None] if segments is None else codes[places_in_segments(segments)]

    def _embed(self, tokens: jax.Array) -> jax.Array:
        return self.embedding[...][tokens]

    def _logits(self, x: jax.Array) -> jax.Array:
        embedding = self.embedding[...]
        return self.decoder_norm(x) @ embedding.T / embedding.shape[1] ** 0.5

    def _dropping(self, key: jax.Array) -> Drop:
        # Three places in a block of the encoder, four in one of the decoder, and the embeddings.
        keys: Iterator[jax.Array] = iter(jax.random.split(key, 2 + 7 * self.num_layers))
        return lambda x: dropout(x, self.rate, next(keys))
