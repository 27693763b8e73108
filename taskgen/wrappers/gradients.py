"""Wrappers that change the gradient in training and leave the loss as it is."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from velodrome.taskgen.functions import Dynamic
from velodrome.taskgen.nn.evolution import evolution_gradient, unit_noise
from velodrome.taskgen.wrappers.wrapping import (
    AugmentedTask,
    Values,
    changed_gradient,
    corpus_of,
    in_training,
)

# Make the random numbers of the wrappers differ from each other's and from those of the loss.
_DIRECTIONS, _ADDED = 0x64697273, 0x61646465


def evolution(task: AugmentedTask, values: Values) -> AugmentedTask:
    """Estimate the gradient from losses (Salimans et al. 2017, arXiv 1703.03864)."""

    def gradient(plain, *args):
        estimated = evolution_gradient(
            plain, pairs=values.config.pairs, std=lambda dynamic: values.get(dynamic, "std")
        )
        return estimated(*args)

    return in_training(task, gradient)


def bfloat16(task: AugmentedTask, values: Values) -> AugmentedTask:
    """Round parameters, real data, and gradient."""
    del values

    def rounded(tree: PyTree) -> PyTree:
        return jax.tree.map(_round, tree)

    def gradient(plain, params, state, key, batch, dynamic):
        (value, state), slope = jax.value_and_grad(plain, has_aux=True)(
            rounded(params), state, key, rounded(batch), dynamic
        )
        return value, state, rounded(slope)

    return in_training(task, gradient)


def _round(leaf: jax.Array) -> jax.Array:
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf
    # A pair of casts would be optimised away: XLA may keep excess precision.
    return jax.lax.reduce_precision(leaf, exponent_bits=8, mantissa_bits=7)


def normalize(task: AugmentedTask, values: Values) -> AugmentedTask:
    """Divide the gradient by its global norm."""
    del values

    def change(slope: PyTree, key: jax.Array, dynamic: Dynamic | None) -> PyTree:
        del key, dynamic
        norm = optax.tree.norm(slope)
        factor = jnp.where(norm > 0, 1.0 / jnp.where(norm > 0, norm, 1.0), 0.0)
        return jax.tree.map(lambda leaf: leaf * factor, slope)

    return changed_gradient(task, change)


def subsample(task: AugmentedTask, values: Values) -> AugmentedTask:
    """Replace the gradient by the sum of its projections on random unit vectors."""

    def change(slope: PyTree, key: jax.Array, dynamic: Dynamic | None) -> PyTree:
        key = jax.random.fold_in(key, _DIRECTIONS)

        def add(index: jax.Array, total: PyTree) -> PyTree:
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
    """Add normal noise in proportion to the gradient's root mean square."""

    def change(slope: PyTree, key: jax.Array, dynamic: Dynamic | None) -> PyTree:
        size = sum(leaf.size for leaf in jax.tree.leaves(slope))
        level = values.get(dynamic, "level") * optax.tree.norm(slope) / jnp.sqrt(float(size))
        drawn = unit_noise(jax.random.fold_in(key, _ADDED), slope, 1)
        return jax.tree.map(lambda leaf, extra: leaf + level * extra[0], slope, drawn)

    return changed_gradient(task, change)


def delayed(task: AugmentedTask, values: Values) -> AugmentedTask:
    """Give loss and gradient of older parameters, as asynchronous training does.

    The last parameters lie in a circular buffer, which is part of the state.
    """
    steps = values.config.steps

    def init(key: jax.Array, dynamic: Dynamic | None = None) -> tuple[PyTree, PyTree]:
        params, state = task.init(key, dynamic)
        stale = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (steps, *leaf.shape)), params)
        return params, {"task": state, "stale": stale, "at": jnp.zeros((), jnp.int32)}

    def evaluated(params, state, key, batch, *, train: bool, dynamic: Dynamic | None = None):
        value, inner = task.loss(params, state["task"], key, batch, train=train, dynamic=dynamic)
        return value, {**state, "task": inner}

    def gradient(plain, params, state, key, batch, dynamic):
        at = state["at"]
        old = jax.tree.map(lambda buffer: buffer[at], state["stale"])
        (value, after), slope = jax.value_and_grad(plain, has_aux=True)(
            old, state, key, batch, dynamic
        )
        stale = jax.tree.map(lambda buffer, leaf: buffer.at[at].set(leaf), state["stale"], params)
        return value, {**after, "stale": stale, "at": (at + 1) % steps}, slope

    def metrics(params, state, key, batch, *, train=False, dynamic: Dynamic | None = None):
        return task.metrics(params, state["task"], key, batch, train=train, dynamic=dynamic)

    corpus = corpus_of(task, see=lambda params, state: (params, state["task"]))
    inside = dataclasses.replace(task, init=init, loss=evaluated, metrics=metrics, corpus=corpus)
    return in_training(inside, gradient)
