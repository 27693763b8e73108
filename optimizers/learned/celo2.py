"""Celo2 (arXiv 2602.19142): a learned direction for each matrix, at a rate that the user chooses.

A small network, the same for all parameters, gives a direction; that of a matrix is orthogonalised;
all are scaled to a root mean square of 1. Semantics: ``celo/optimizers/celo2.py`` and
``celo2_optax.py`` of amoudgl/celo, commit 66d9761.
"""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from velodrome.optimizers.float32 import in_float32
from velodrome.optimizers.learned.accumulators import (
    Accumulators,
    Decays,
    accumulate,
    channels,
    init_accumulators,
    network,
    normalisers,
)
from velodrome.optimizers.learned.rule import Rule, by_tensor
from velodrome.optimizers.learned.weights.trees import Celo2Weights
from velodrome.optimizers.velo.controller import as_constants
from velodrome.optimizers.velo.door import checked
from velodrome.optimizers.velo.tensor_statistics import DECAYS, clip

_SECOND_DECAY = np.asarray([0.95], np.float32)

_PLAIN = (
    *("gradient", "clipped", "parameter", "momentum", "second", "normalised_momentum"),
    *("inverse_root", "factored_gradient", "normalised_gradient"),
)
_FACTORED = ("row", "column", "inverse_row", "inverse_column", "factored_momentum")

# Of Newton-Schulz iterations towards the nearest orthogonal matrix.
_ITERATIONS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)

#: Adam's rate, divided by the rate of the matrices.
ADAM_RATE = 20.0

# Means and normalisers are over the last two axes: those before them count matrices.
_AXES = 2


def celo2(
    learning_rate: optax.ScalarOrSchedule,
    *,
    weights: Celo2Weights,
    weight_decay: float | Array = 0.0,
    adam_for: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Return Celo2: learned directions for matrices, Adam for what is no matrix and embeddings.

    Args:
      learning_rate: Of the matrices; Adam's is `ADAM_RATE` times as large. A number, a tracer, or
        a schedule.
      weights: From a file of Celo2.
      weight_decay: Decoupled: the rate of each tensor times this, times its parameters, is taken
        away too.
      adam_for: A regular expression for the paths of the parameters that Adam updates, such as
        ``"/b$"``, searched in their keys joined by slashes. None: those with fewer than two
        dimensions, and those with "embed" in their path.
    """

    def labels(params: PyTree) -> PyTree:
        def label(path: jax.tree_util.KeyPath, leaf: Array) -> str:
            keys = "/".join(str(getattr(key, "key", getattr(key, "name", key))) for key in path)
            if adam_for is not None:
                return "adam" if re.search(adam_for, keys) else "learned"
            return "adam" if jnp.ndim(leaf) < 2 or "embed" in keys.lower() else "learned"

        return jax.tree.map_with_path(label, params)

    adam = optax.chain(_adam(), optax.add_decayed_weights(weight_decay), optax.scale(ADAM_RATE))
    learned = optax.chain(
        scale_by_celo2(weights, orthogonalise=True), optax.add_decayed_weights(weight_decay)
    )
    both = optax.partition({"adam": adam, "learned": learned}, labels)
    return _with_rate(both, learning_rate, "Celo2")


def celo2_base(
    learning_rate: optax.ScalarOrSchedule,
    *,
    weights: Celo2Weights,
    weight_decay: float | Array = 0.0,
) -> optax.GradientTransformationExtraArgs:
    """Return Celo2-base: learned directions for all tensors; arguments are those of `celo2`."""
    directions = scale_by_celo2(weights, orthogonalise=False)
    decayed = optax.chain(directions, optax.add_decayed_weights(weight_decay))
    return _with_rate(decayed, learning_rate, "Celo2-base")


def scale_by_celo2(
    weights: Celo2Weights, *, orthogonalise: bool
) -> optax.GradientTransformationExtraArgs:
    """Return the learned directions, to be subtracted: every tensor's has root mean square 1."""
    theta = as_constants(weights)
    kinds: Any = (DECAYS, _SECOND_DECAY, DECAYS)
    decays = Decays(*as_constants(kinds))

    def step(
        state: Accumulators, gradient: Array, parameters: Array, iteration: Int[Array, ""]
    ) -> Float[Array, " ..."]:
        del iteration
        found = channels(state, clip(gradient), parameters, epsilon=1e-8)
        names = _PLAIN if gradient.ndim < 2 else _PLAIN + _FACTORED
        # A scalar counts as a vector of one element.
        terms = [jnp.atleast_1d(term) for name in names for term in jnp.unstack(found[name])]
        axes = min(_AXES, terms[0].ndim)
        scales = normalisers(terms, epsilon=1e-9, axes=axes)
        inputs = [term * scale for term, scale in zip(terms, scales, strict=True)]
        # Of vectors, the network has no factored inputs: these come last.
        layers = (
            (theta.w0[: len(inputs)], theta.b0),
            (theta.w1, theta.b1),
            (theta.w2[:, :1], theta.b2[:1]),
        )
        (direction,) = network(inputs, layers)
        if orthogonalise and gradient.ndim >= 2:
            direction = _orthogonalised(direction)
        (scale,) = normalisers([direction], epsilon=1e-9, axes=axes)
        return (direction * scale).reshape(gradient.shape)

    rule = Rule(
        init=lambda shape: init_accumulators(shape, decays),
        accumulate=lambda state, gradient: accumulate(state, clip(gradient), decays),
        step=step,
    )
    return by_tensor(rule)


def _orthogonalised(x: Float[Array, "... rows columns"]) -> Float[Array, "... rows columns"]:
    """Return about the nearest orthogonal matrix: its singular values are near 1."""
    tall = x.shape[-2] > x.shape[-1]
    x = jnp.swapaxes(x, -2, -1) if tall else x
    norm = jnp.sqrt(jnp.sum(x**2, axis=(-2, -1), keepdims=True))
    x = x / (norm + 1e-8)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        square = _matmul(x, jnp.swapaxes(x, -2, -1))
        x = a * x + _matmul(b * square + c * _matmul(square, square), x)
    return jnp.swapaxes(x, -2, -1) if tall else x


def _adam() -> optax.GradientTransformation:
    """Return Adam as Celo2 has it: no bias correction, and the epsilon inside the root."""
    decays = (0.9, 0.95)

    def init(params: PyTree) -> tuple[PyTree, PyTree]:
        return jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params)

    def update(
        updates: PyTree, state: Any, params: PyTree = None
    ) -> tuple[PyTree, tuple[PyTree, PyTree]]:
        del params
        squares = jax.tree.map(jnp.square, updates)
        momentum, second = (
            jax.tree.map(lambda x, y, d=decay: d * x + (1.0 - d) * y, old, new)
            for decay, old, new in zip(decays, state, (updates, squares), strict=True)
        )
        steps = jax.tree.map(lambda m, v: m * jax.lax.rsqrt(v + 1e-8), momentum, second)
        return steps, (momentum, second)

    return optax.GradientTransformation(init, update)


def _with_rate(
    inner: optax.GradientTransformation, learning_rate: optax.ScalarOrSchedule, title: str
) -> optax.GradientTransformationExtraArgs:
    rated = optax.chain(inner, optax.scale_by_learning_rate(learning_rate))
    return checked(in_float32(rated), title, reads_loss=False)


def _matmul(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
