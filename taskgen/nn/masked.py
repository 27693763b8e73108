"""Layers for sequences whose end is padding, as in the AlgoPerf speech workloads.

``padding`` is f32[B,T], 1 where a frame is no part of the sequence. Scales are stored less 1, so
that they start at 0: what a learned optimizer sees of them is that.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

DECAY = 0.999
BATCH_EPSILON = 1e-3
LAYER_EPSILON = 1e-6


def keep(padding: jax.Array) -> jax.Array:
    """Return f32[B,T,1], 1 where frames are no padding."""
    return 1.0 - padding[:, :, None]


class MaskedBatchNorm(nnx.Module):
    """Batch normalisation of f32[B,T,size] by the frames that are no padding; padding becomes 0.

    The averages for evaluation start at mean 0 and variance 1 and move by 0.1% a step, so that
    they need thousands of steps to forget their start.
    """

    def __init__(self, size: int):
        self.scale = nnx.Param(jnp.zeros((size,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((size,), jnp.float32))
        self.mean = nnx.BatchStat(jnp.zeros((size,), jnp.float32))
        self.variance = nnx.BatchStat(jnp.ones((size,), jnp.float32))

    def __call__(self, x: jax.Array, padding: jax.Array, *, train: bool) -> jax.Array:
        kept = keep(padding)
        if train:
            count = jnp.maximum(kept.sum(), 1.0)
            mean = (x * kept).sum(axis=(0, 1)) / count
            centred = (x - mean[None, None]) * kept
            variance = jnp.square(centred).sum(axis=(0, 1)) / count
            for average, value in ((self.mean, mean), (self.variance, variance)):
                step = jax.lax.stop_gradient(value)
                average[...] = DECAY * average[...] + (1 - DECAY) * step
        else:
            mean, variance = self.mean[...], self.variance[...]
            centred = (x - mean[None, None]) * kept
        scale = jax.lax.rsqrt(variance + BATCH_EPSILON) * (1.0 + self.scale[...])
        return centred * scale[None, None] + self.bias[...][None, None] * kept


class LayerNorm(nnx.Module):
    """Layer normalisation along the last axis of f32[B,T,size]."""

    def __init__(self, size: int):
        self.scale = nnx.Param(jnp.zeros((size,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((size,), jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = jnp.square(centred).mean(axis=-1, keepdims=True)
        scale = (1.0 + self.scale[...])[None, None]
        return (
            centred * jax.lax.rsqrt(variance + LAYER_EPSILON) * scale + self.bias[...][None, None]
        )
