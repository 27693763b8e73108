"""The wrapper that gives loss and gradient of older parameters, as asynchronous training does."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from velodrome.taskgen.wrappers.wrapping import AugmentedTask, Values, in_training


def delayed(task: AugmentedTask, values: Values) -> AugmentedTask:
    """Keeps the last parameters in a circular buffer, which is part of the state."""
    steps = values.config.steps

    def init(key: Any, dynamic: Any = None) -> Any:
        params, state = task.init(key, dynamic)
        stale = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (steps, *leaf.shape)), params)
        return params, {"task": state, "stale": stale, "at": jnp.zeros((), jnp.int32)}

    def evaluated(
        params: Any, state: Any, key: Any, batch: Any, *, train: bool, dynamic: Any = None
    ):
        value, inner = task.loss(params, state["task"], key, batch, train=train, dynamic=dynamic)
        return value, {**state, "task": inner}

    def gradient(plain: Any, params: Any, state: Any, key: Any, batch: Any, dynamic: Any) -> Any:
        at = state["at"]
        old = jax.tree.map(lambda buffer: buffer[at], state["stale"])
        (value, after), slope = jax.value_and_grad(plain, has_aux=True)(
            old, state, key, batch, dynamic
        )
        stale = jax.tree.map(lambda buffer, leaf: buffer.at[at].set(leaf), state["stale"], params)
        return value, {**after, "stale": stale, "at": (at + 1) % steps}, slope

    def metrics(params: Any, state: Any, key: Any, batch: Any, **options: Any) -> Any:
        return task.metrics(params, state["task"], key, batch, **options)

    inside = dataclasses.replace(task, init=init, loss=evaluated, metrics=metrics)
    return in_training(inside, gradient)
