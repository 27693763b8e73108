"""Gradients that all references and optimizers are given."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax

#: No Gram matrix of the first gradients is singular: its eigenvectors would not be unique.
SHAPES = {"matrix": (4, 4), "kernel": (3, 2, 4), "bias": (4,), "scale": ()}


def gradients(steps: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Return gradients of a few arrays: noise around a drift, so that second moments differ."""
    rng = np.random.default_rng(seed)
    scales = {name: np.exp(rng.normal(size=shape)) for name, shape in SHAPES.items()}
    return [
        {name: scales[name] * (0.3 + rng.normal(size=shape)) for name, shape in SHAPES.items()}
        for _ in range(steps)
    ]


def zeros() -> dict[str, jax.Array]:
    """Return parameters of these shapes."""
    return {name: jnp.zeros(shape) for name, shape in SHAPES.items()}


def our_updates(
    made: optax.GradientTransformation,
    given: list[dict[str, np.ndarray]],
    params: dict[str, jax.Array],
) -> list[dict[str, np.ndarray]]:
    """Return the updates at fixed parameters, in float32."""
    state, found = made.init(params), []
    step = jax.jit(made.update)
    for grads in given:
        grads = {name: jnp.asarray(value, jnp.float32) for name, value in grads.items()}
        updates, state = step(grads, state, params)
        found.append(jax.tree.map(np.asarray, updates))
    return found
