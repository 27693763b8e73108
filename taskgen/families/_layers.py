"""Layers that several families share: batch normalisation, layer normalisation, dropout."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

BATCH_NORM_DECAY = 0.9
EPSILON = 1e-5


class BatchNorm(nnx.Module):
    """Batch normalisation over all axes but the last (Ioffe and Szegedy 2015, 1502.03167).

    In training, statistics are the batch's, with the biased variance. In evaluation they are
    their exponential moving averages, with the bias towards zero of the first steps removed;
    before any training step, mean 0 and variance 1. (The published tasks evaluate the training
    loss, so they never use the averages: protocols with ``eval_mode="training-loss"``.)

    Args:
      size: Size of the last axis.
      scale: What the scale starts at; the offset starts at 0.
    """

    def __init__(self, size: int, *, scale: float = 1.0):
        self.scale = nnx.Param(jnp.full((size,), scale))
        self.offset = nnx.Param(jnp.zeros((size,)))
        self.mean = nnx.BatchStat(jnp.zeros((size,)))
        self.variance = nnx.BatchStat(jnp.zeros((size,)))
        self.weight = nnx.BatchStat(jnp.zeros((1,)))  # what the averages' weights add up to

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Normalises f32[..., size]; with ``train`` the moving averages take a step."""
        axes = tuple(range(x.ndim - 1))
        if train:
            mean = x.mean(axes, keepdims=True)
            variance = jnp.square(x - mean).mean(axes, keepdims=True)
            for average, value in ((self.mean, mean), (self.variance, variance)):
                average[...] = _step(average[...], jax.lax.stop_gradient(value).reshape(-1))
            self.weight[...] = _step(self.weight[...], jnp.ones((1,)))
        else:
            weight = self.weight[...]
            trained = weight > 0
            divisor = jnp.where(trained, weight, 1.0)
            mean = _row(self.mean[...] / divisor, x)
            variance = _row(jnp.where(trained, self.variance[...] / divisor, 1.0), x)
        scale = jax.lax.rsqrt(variance + EPSILON) * _row(self.scale[...], x)
        return (x - mean) * scale + _row(self.offset[...], x)


def _step(average: jax.Array, value: jax.Array) -> jax.Array:
    return BATCH_NORM_DECAY * average + (1 - BATCH_NORM_DECAY) * value


def _row(vector: jax.Array, x: jax.Array) -> jax.Array:
    return vector.reshape((1,) * (x.ndim - 1) + (-1,))


def normalization(name: str, size: int, *, rngs: Any) -> Any:
    """Returns the layer called ``name``, "batch_norm" or "layer_norm", of ``size`` features."""
    if name == "batch_norm":
        return BatchNorm(size)
    return nnx.LayerNorm(size, epsilon=EPSILON, rngs=rngs)


def normalize(layer: Any, x: jax.Array, *, train: bool) -> jax.Array:
    """Applies a layer of :func:`normalization`."""
    return layer(x, train=train) if isinstance(layer, BatchNorm) else layer(x)


def dropout(x: jax.Array, rate: Any, key: jax.Array) -> jax.Array:
    """Sets each number to zero with probability ``rate``, and divides the others by 1 - rate."""
    keep = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(keep, x / (1 - rate), 0.0)
