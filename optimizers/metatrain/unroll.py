"""An inner problem from start to end: a task trained by an optimizer, reduced to its meta-loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from optimizers.metatrain.config import UnrollConfig
from taskgen import Task


class Problem(NamedTuple):
    """What fixes an inner problem besides its program; members of a pair share it.

    Attributes:
      key: Of initialisation, data augmentation and dropout.
      indices: Examples of each batch: those of the longest unroll, then those of the final
        objective.
      dynamic: The task's dynamic values that differ between the problems of a program.
      scales: Parameters are stored divided by these: one for each tensor.
    """

    key: Array
    indices: Int[Array, "*pairs batches examples"]
    dynamic: Mapping[str, Array]
    scales: Float[Array, "*pairs tensors"]


class Outcome(NamedTuple):
    """How an inner problem went.

    Attributes:
      objective: The meta-loss: the family's normalised loss, less that of a perfect model.
      last: Mean raw training loss (nats) over the last tenth of the unroll.
    """

    objective: Float[Array, "*particles"]
    last: Float[Array, "*particles"]


#: Part of an unroll that `Outcome.last` averages over.
LAST_FRACTION = 0.1


def make_unroll(
    task: Task,
    gather: Callable[..., Any],
    make_optimizer: Callable[[Any, Array], optax.GradientTransformationExtraArgs],
    config: UnrollConfig,
    *,
    longest: int,
) -> Callable[[Any, Problem, Array | int, Any], Outcome]:
    """Returns ``unroll(optimizer_weights, problem, steps, arrays)`` of one particle.

    Args:
      task: The task.
      gather: The `gather` of its training source.
      make_optimizer: Makes the optimizer of (its weights, the number of steps); both are traced.
        The optimizer is given ``value``, the training loss.
      config: The objective.
      longest: Most inner steps that will be asked for; ``steps`` may be any number up to it,
        without another compilation.
    """

    def batch_loss(params, scales, state, key, batch, dynamic):
        scaled = _multiply(params, scales)
        return task.loss(scaled, state, key, batch, train=True, dynamic=dynamic)

    def unroll(weights: Any, problem: Problem, steps: Array | int, arrays: Any) -> Outcome:
        steps = jnp.asarray(steps, jnp.int32)
        start_key, loop_key = jax.random.split(problem.key)
        dynamic = dict(problem.dynamic)
        params, state = task.init(start_key, dynamic)
        params = _multiply(params, 1.0 / problem.scales)
        optimizer = make_optimizer(weights, steps)
        tail_start = steps - jnp.ceil(config.tail_fraction * steps).astype(jnp.int32)
        tail_start = jnp.minimum(tail_start, steps - 1)
        last_start = steps - jnp.ceil(LAST_FRACTION * steps).astype(jnp.int32)

        def draw(index: Array) -> tuple[Any, Array]:
            batch_key, loss_key = jax.random.split(jax.random.fold_in(loop_key, index))
            batch = gather(arrays, problem.indices[index], batch_key, augment=True)
            return batch, loss_key

        def step(index: Array, carry: Any) -> Any:
            params, state, memory, tail, last = carry
            batch, key = draw(index)
            (loss, state), grads = jax.value_and_grad(batch_loss, has_aux=True)(
                params, problem.scales, state, key, batch, dynamic
            )
            updates, memory = optimizer.update(grads, memory, params, value=loss)
            params = optax.apply_updates(params, updates)
            tail = tail + jnp.where(index >= tail_start, task.normalize(loss), 0.0)
            last = last + jnp.where(index >= last_start, loss, 0.0)
            return params, state, memory, tail, last

        # Normalised losses may be negative; taken from that of a perfect model they are not, so
        # that their logarithm exists.
        perfect = task.normalize(jnp.zeros((), jnp.float32))
        zero = jnp.zeros((), jnp.float32)
        carry = (params, state, optimizer.init(params), zero, zero)
        params, state, _, tail, last = jax.lax.fori_loop(0, steps, step, carry)
        last = last / (steps - last_start)
        if config.objective == "tail":
            return Outcome(tail / (steps - tail_start) - perfect, last)

        def final(index: Array) -> Array:
            batch, key = draw(index)
            loss, _ = batch_loss(params, problem.scales, state, key, batch, dynamic)
            return task.normalize(loss)

        losses = jax.lax.map(final, longest + jnp.arange(config.final_batches))
        return Outcome(jnp.mean(losses) - perfect, last)

    return unroll


def batches_needed(config: UnrollConfig, *, longest: int) -> int:
    """Returns how many batches of indices a `Problem` has."""
    return longest + (config.final_batches if config.objective == "final" else 0)


def _multiply(params: Any, scales: Array) -> Any:
    leaves, structure = jax.tree.flatten(params)
    return jax.tree.unflatten(
        structure, [leaf * scales[position] for position, leaf in enumerate(leaves)]
    )
