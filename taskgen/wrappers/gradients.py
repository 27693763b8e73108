"""Wrappers that change the gradient in training and leave the loss as it is."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from velodrome.taskgen.nn.evolution import evolution_gradient, unit_noise
from velodrome.taskgen.wrappers.wrapping import AugmentedTask, Values, changed_gradient, in_training

# Tell the random numbers of the wrappers from each other's and from those of the loss.
_DIRECTIONS, _ADDED = 0x64697273, 0x61646465


def evolution(task: AugmentedTask, values: Values) -> AugmentedTask:
    """Estimates the gradient from losses (Salimans et al. 2017, arXiv 1703.03864)."""

    def gradient(plain: Any, *args: Any) -> Any:
        estimated = evolution_gradient(
            plain, pairs=values.config.pairs, std=lambda dynamic: values.get(dynamic, "std")
        )
        return estimated(*args)

    return in_training(task, gradient)


def bfloat16(task: AugmentedTask, values: Values) -> AugmentedTask:
    """Rounds parameters, real data, and gradient."""
    del values

    def rounded(tree: Any) -> Any:
        return jax.tree.map(_round, tree)

    def gradient(plain: Any, params: Any, state: Any, key: Any, batch: Any, dynamic: Any) -> Any:
        (value, state), slope = jax.value_and_grad(plain, has_aux=True)(
            rounded(params), state, key, rounded(batch), dynamic
        )
        return value, state, rounded(slope)

    return in_training(task, gradient)


def _round(leaf: Any) -> Any:
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf
    # A pair of casts would be optimised away: XLA may keep excess precision.
    return jax.lax.reduce_precision(leaf, exponent_bits=8, mantissa_bits=7)


def normalize(task: AugmentedTask, values: Values) -> AugmentedTask:
    """Divides the gradient by its global norm."""
    del values

    def change(slope: Any, key: Any, dynamic: Any) -> Any:
        del key, dynamic
        norm = optax.tree.norm(slope)
        factor = jnp.where(norm > 0, 1.0 / jnp.where(norm > 0, norm, 1.0), 0.0)
        return jax.tree.map(lambda leaf: leaf * factor, slope)

    return changed_gradient(task, change)


def subsample(task: AugmentedTask, values: Values) -> AugmentedTask:
    """Replaces the gradient by the sum of its projections on random unit vectors."""

    def change(slope: Any, key: Any, dynamic: Any) -> Any:
        key = jax.random.fold_in(key, _DIRECTIONS)

        def add(index: Any, total: Any) -> Any:
            noise = unit_noise(jax.random.fold_in(key, index), slope, 1)
            direction = jax.tree.map(lambda leaf: leaf[0], noise)
            norm = optax.tree.norm(direction)
            along = optax.tree.vdot(slope, direction) / norm
            weight = (jnp.sign(along) if values.config.sign else along) / norm
            return jax.tree.map(lambda leaf, unit: leaf + weight * unit, total, direction)

        zero = jax.tree.map(jnp.zeros_like, slope)
        # One at a time: all at once would be a thousand copies of the parameters.
        return jax.lax.fori_loop(0, values.get(dynamic, "directions"), add, zero)

    return changed_gradient(task, change)


def noise(task: AugmentedTask, values: Values) -> AugmentedTask:
    """Adds normal noise in proportion to the gradient's root mean square."""

    def change(slope: Any, key: Any, dynamic: Any) -> Any:
        size = sum(leaf.size for leaf in jax.tree.leaves(slope))
        level = values.get(dynamic, "level") * optax.tree.norm(slope) / jnp.sqrt(float(size))
        drawn = unit_noise(jax.random.fold_in(key, _ADDED), slope, 1)
        return jax.tree.map(lambda leaf, extra: leaf + level * extra[0], slope, drawn)

    return changed_gradient(task, change)
