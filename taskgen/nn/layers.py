"""Layers that several families share: dense stacks, normalisation, dropout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from velodrome.taskgen.functions import Scalar
from velodrome.taskgen.nn.activations import activate
from velodrome.taskgen.nn.initializers import Initializer

BATCH_NORM_DECAY = 0.9
EPSILON = 1e-5

Keys = Iterator[jax.Array] | None
"""What dropout draws from; None where nothing is dropped."""


class BatchNorm(nnx.Module):
    """Batch normalisation over all axes but the last (Ioffe and Szegedy 2015, 1502.03167).

    In training, statistics are the batch's, with the biased variance. In evaluation they are
    their exponential moving averages, with the bias towards zero of the first steps removed;
    before any training step, mean 0 and variance 1. (The published tasks evaluate the training
    loss, so they never use the averages: protocols with ``eval_mode="training-loss"``.) Flax's
    ``nnx.BatchNorm`` does not remove that bias: its averages start at mean 0 and variance 1.

    Args:
      size: Size of the last axis.
      axes: Number of axes of the input. Scale and offset have as many, as in the published tasks:
        a learned optimizer may treat them otherwise than vectors.
      scale: Where the scale starts; the offset starts at 0.
    """

    def __init__(self, size: int, *, axes: int, scale: float = 1.0):
        shape = (1,) * (axes - 1) + (size,)
        self.scale = nnx.Param(jnp.full(shape, scale, jnp.float32))
        self.offset = nnx.Param(jnp.zeros(shape, jnp.float32))
        self.mean = nnx.BatchStat(jnp.zeros((size,), jnp.float32))
        self.variance = nnx.BatchStat(jnp.zeros((size,), jnp.float32))
        # What the averages' weights add up to.
        self.weight = nnx.BatchStat(jnp.zeros((1,), jnp.float32))

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Normalise f32[..., size]; with ``train`` the moving averages take a step."""
        axes = tuple(range(x.ndim - 1))
        if train:
            mean = x.mean(axes, keepdims=True)
            variance = jnp.square(x - mean).mean(axes, keepdims=True)
            for average, value in ((self.mean, mean), (self.variance, variance)):
                average[...] = _step(average[...], jax.lax.stop_gradient(value).reshape(-1))
            self.weight[...] = _step(self.weight[...], jnp.ones((1,), jnp.float32))
        else:
            weight = self.weight[...]
            trained = weight > 0
            divisor = jnp.where(trained, weight, 1.0)
            mean = _row(self.mean[...] / divisor, x)
            variance = _row(jnp.where(trained, self.variance[...] / divisor, 1.0), x)
        scale = jax.lax.rsqrt(variance + EPSILON) * self.scale[...]
        return (x - mean) * scale + self.offset[...]


def _step(average: jax.Array, value: jax.Array) -> jax.Array:
    return BATCH_NORM_DECAY * average + (1 - BATCH_NORM_DECAY) * value


def _row(vector: jax.Array, x: jax.Array) -> jax.Array:
    return vector.reshape((1,) * (x.ndim - 1) + (-1,))


Norm = BatchNorm | nnx.LayerNorm


def normalization(name: str, size: int, *, axes: int, rngs: nnx.Rngs) -> Norm:
    """Return the layer called ``name``, "batch_norm" or "layer_norm", for ``size`` features.

    ``axes`` is the number of axes of the input.
    """
    if name == "batch_norm":
        return BatchNorm(size, axes=axes)
    return nnx.LayerNorm(size, epsilon=EPSILON, rngs=rngs)


def normalize(layer: Norm, x: jax.Array, *, train: bool) -> jax.Array:
    """Apply a layer of :func:`normalization`."""
    return layer(x, train=train) if isinstance(layer, BatchNorm) else layer(x)


def dropout(
    x: jax.Array, rate: Scalar, key: jax.Array, *, shape: tuple[int, ...] | None = None
) -> jax.Array:
    """Set each number to zero with probability ``rate``, and divide the others by 1 - rate.

    Numbers are dropped together along the axes where ``shape``, which broadcasts to x's, has 1.
    """
    keep = jax.random.bernoulli(key, 1 - rate, x.shape if shape is None else shape)
    return jnp.where(keep, x / (1 - rate), 0.0)


def drop(x: jax.Array, rate: float, keys: Keys) -> jax.Array:
    """Apply `dropout` with the next key; do nothing without keys, or at a rate of 0."""
    return dropout(x, rate, next(keys)) if rate and keys is not None else x


class DenseStack(nnx.Module):
    """Hidden layers (dense, norm, dropout, activation), and a dense layer after them.

    Its layers are ``dense_0``, ``norm_0``, ``dense_1``, ... and ``output``.

    Args:
      sizes: Numbers of an input, width of each hidden layer, numbers of an output.
      kernel_init: Initialises all kernels; biases start at 0.
      norm: "none", or a name that :func:`normalization` takes.
      rate: Dropout rate, from 0 to below 1.
      rngs: Draws the kernels.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        kernel_init: Initializer,
        norm: str = "none",
        rate: float = 0.0,
        rngs: nnx.Rngs,
    ):
        *before, last = zip(sizes[:-1], sizes[1:], strict=True)
        self.hidden_layers, self.rate = len(before), rate
        self.normalized = norm != "none"
        for layer, (n_in, n_out) in enumerate(before):
            dense = nnx.Linear(n_in, n_out, kernel_init=kernel_init, rngs=rngs)
            setattr(self, f"dense_{layer}", dense)
            if self.normalized:
                setattr(self, f"norm_{layer}", normalization(norm, n_out, axes=2, rngs=rngs))
        self.output = nnx.Linear(*last, kernel_init=kernel_init, rngs=rngs)

    def run(
        self,
        x: jax.Array,
        activation: Scalar,
        *,
        train: bool = False,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Map f32[B,inputs] to f32[B,outputs].

        With ``train``, batch statistics normalise and dropout acts, which needs ``key``.
        """
        for layer in range(self.hidden_layers):
            x = getattr(self, f"dense_{layer}")(x)
            if self.normalized:
                x = normalize(getattr(self, f"norm_{layer}"), x, train=train)
            if self.rate and train:
                assert key is not None  # a family with dropout passes its key on
                x = dropout(x, self.rate, jax.random.fold_in(key, layer))
            x = activate(x, activation)
        return self.output(x)


class InputOnly(nnx.Module):
    """Call a module with its input alone: `nnx.Sequential` would pass all keywords on."""

    def __init__(self, body: Callable[[jax.Array], jax.Array]):
        self.body = body

    def __call__(self, inputs: jax.Array) -> jax.Array:
        return self.body(inputs)
