"""Wrappers that change units and batches: parameters stored in other units, scaled losses."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from velodrome.taskgen.augmentation import ReparamWeights
from velodrome.taskgen.functions import Dynamic, Scalar
from velodrome.taskgen.space.fields import config_fields
from velodrome.taskgen.wrappers.wrapping import AugmentedTask, Values, corpus_of

_LEVELS = config_fields(ReparamWeights)["level"][1].allowed


def reparam_weights(task: AugmentedTask, values: Values) -> AugmentedTask:
    """Store ``w / s``; the scales are part of the state, drawn when a task starts."""

    def init(key: jax.Array, dynamic: Dynamic | None = None) -> tuple[PyTree, PyTree]:
        params, state = task.init(key, dynamic)
        scales = _scales(params, *(values.get(dynamic, f) for f in ("level", "range", "seed")))
        stored = jax.tree.map(lambda leaf, scale: leaf / scale, params, scales)
        return stored, {"task": state, "scales": scales}

    def used(params: PyTree, state: PyTree) -> PyTree:
        return jax.tree.map(lambda leaf, scale: leaf * scale, params, state["scales"])

    def loss(params, state, key, batch, *, train: bool, dynamic: Dynamic | None = None):
        value, inner = task.loss(
            used(params, state), state["task"], key, batch, train=train, dynamic=dynamic
        )
        return value, {"task": inner, "scales": state["scales"]}

    def metrics(params, state, key, batch, *, train=False, dynamic: Dynamic | None = None):
        return task.metrics(
            used(params, state), state["task"], key, batch, train=train, dynamic=dynamic
        )

    corpus = corpus_of(task, see=lambda params, state: (used(params, state), state["task"]))
    return dataclasses.replace(task, init=init, loss=loss, metrics=metrics, corpus=corpus)


def _scales(params: PyTree, level: Scalar, widest: Scalar, seed: Scalar) -> PyTree:
    """Return scales like the parameters, from one draw of exponents whatever the level."""
    leaves, structure = jax.tree.flatten(params)
    level = jnp.asarray(level, jnp.int32)
    log_range = jnp.log(jnp.asarray(widest, jnp.float32))
    key = jax.random.key(jnp.asarray(seed, jnp.int32))

    def exponents(place: int, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.uniform(jax.random.fold_in(key, place), shape, jnp.float32, -1.0, 1.0)

    shared = exponents(0, ())
    scales = []
    for position, leaf in enumerate(leaves, start=1):
        own = exponents(position, (1 + leaf.size,))
        choices = {
            "none": jnp.zeros((), jnp.float32),
            "global": shared,
            "tensor": own[0],
            "parameter": own[1:].reshape(leaf.shape),
        }
        chosen = jnp.zeros(leaf.shape, jnp.float32)
        for index, name in enumerate(_LEVELS):
            value = jnp.broadcast_to(choices[name], leaf.shape)
            chosen = jnp.where(level == index, value, chosen)
        scales.append(jnp.exp(log_range * chosen))
    return jax.tree.unflatten(structure, scales)


def loss_scale(task: AugmentedTask, values: Values) -> AugmentedTask:
    """Multiply the training loss; evaluation sees the plain one."""

    def loss(params, state, key, batch, *, train: bool, dynamic: Dynamic | None = None):
        value, state = task.loss(params, state, key, batch, train=train, dynamic=dynamic)
        return (value * values.get(dynamic, "scale") if train else value), state

    def plain_loss(value: jax.Array, dynamic: Dynamic | None = None) -> jax.Array:
        return task.plain_loss(value / values.get(dynamic, "scale"), dynamic)

    return dataclasses.replace(task, loss=loss, plain_loss=plain_loss)


def reduced_batch(task: AugmentedTask, values: Values) -> AugmentedTask:
    """Train on the first examples of each batch."""
    fraction = values.config.fraction

    def loss(params, state, key, batch, *, train: bool, dynamic: Dynamic | None = None):
        if train:
            batch = jax.tree.map(lambda leaf: leaf[: max(1, int(len(leaf) * fraction))], batch)
        return task.loss(params, state, key, batch, train=train, dynamic=dynamic)

    return dataclasses.replace(task, loss=loss)
