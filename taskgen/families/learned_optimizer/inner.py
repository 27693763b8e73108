"""The inner problem of tasks that train a learned optimizer, and what their tasks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from velodrome.taskgen.families.learned_optimizer.config import INNER, InnerConfig, inner_config
from velodrome.taskgen.families.learned_optimizer.rules import Rule, Weights, make_rule
from velodrome.taskgen.functions import Batch, Dynamic, Init, Loss, Scalar, TaskFunctions
from velodrome.taskgen.network import task_functions
from velodrome.taskgen.nn import losses
from velodrome.taskgen.views import ImageView

Carry = dict[str, PyTree]


class InnerProblem(NamedTuple):
    """Programs of an inner problem. A carry holds where training stands.

    Attributes:
      rule: The update rule.
      start: ``start(key, dynamic)`` returns the carry before the first step.
      step: ``step(weights, carry, key, batch, dynamic)`` returns the carry after an update, and
        the clipped training loss before it.
    """

    rule: Rule
    start: Callable[[jax.Array, Dynamic | None], Carry]
    step: Callable[[Weights, Carry, jax.Array, Batch, Dynamic | None], tuple[Carry, jax.Array]]


def open_inner(config: InnerConfig, view: ImageView, precision: str) -> InnerProblem:
    task = task_functions(INNER[config.inner], inner_config(config), view, precision)
    rule = make_rule(
        config.rule,
        hidden_size=config.rule_hidden_size,
        hidden_layers=config.rule_hidden_layers,
    )
    worst = 1.5 * jnp.log(jnp.float32(view.num_classes))

    def clipped(loss: jax.Array) -> jax.Array:
        return jnp.clip(jnp.where(jnp.isfinite(loss), loss, worst), 0.0, worst)

    def start(key: jax.Array, dynamic: Dynamic | None) -> Carry:
        params, state = task.init(key, dynamic)
        memory = rule.start(jax.tree.leaves(params))
        return {"params": params, "state": state, "memory": memory, "iteration": jnp.int32(0)}

    def step(weights, carry, key, batch, dynamic):
        (loss, state), gradient = jax.value_and_grad(task.loss, has_aux=True)(
            carry["params"], carry["state"], key, batch, train=True, dynamic=dynamic
        )
        tensors, structure = jax.tree.flatten(carry["params"])
        moved, memory = rule.update(
            weights,
            carry["memory"],
            tensors,
            jax.tree.leaves(gradient),
            carry["iteration"],
            _value("step_multiplier", dynamic, config),
            _value("exp_multiplier", dynamic, config),
        )
        after = {
            "params": jax.tree.unflatten(structure, moved),
            "state": state,
            "memory": memory,
            "iteration": carry["iteration"] + 1,
        }
        return after, clipped(loss)

    return InnerProblem(rule, start, step)


def _value(name: str, dynamic: Dynamic | None, config: InnerConfig) -> Scalar:
    return dynamic[name] if dynamic and name in dynamic else getattr(config, name)


def deal(batch: Batch, rows: jax.Array) -> Batch:
    """Return the examples ``rows`` i32[...] of a batch; past its end, counting restarts."""
    size = jax.tree.leaves(batch)[0].shape[0]
    return jax.tree.map(lambda leaf: leaf[rows % size], batch)


def outer_functions(view: ImageView, *, init: Init, loss: Loss) -> TaskFunctions:
    """Return the functions of a task whose ``loss`` is a mean of inner losses in nats.

    Its only metric is the loss, and its normaliser that of the inner classification.
    """

    def metrics(params, state, key, batch, *, train=False, dynamic: Dynamic | None = None):
        value, _ = loss(params, state, key, batch, train=train, dynamic=dynamic)
        return {"loss": (value, jnp.ones((), jnp.float32))}

    return TaskFunctions(
        init=init,
        loss=loss,
        normalize=lambda value: losses.normalize_classification(value, view),
        metrics=metrics,
        shapes=jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0))),
    )
