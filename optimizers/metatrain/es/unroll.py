"""An inner problem from start to end: a task trained by an optimizer, reduced to its meta-loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree

from velodrome.optimizers.metatrain.config.inner import UnrollConfig
from velodrome.taskgen.task import Task
from velodrome.taskgen.wrappers.wrapping import AugmentedTask


class Problem(NamedTuple):
    """What fixes an inner problem besides its program; members of a pair share it.

    Attributes:
      key: Randomness of initialisation, data augmentation and dropout.
      indices: Examples of each batch: those of the longest unroll, then those of the final
        objective.
      dynamic: The task's dynamic values that differ between the problems of a program.
    """

    key: Array
    indices: Int[Array, "*pairs batches examples"]
    dynamic: Mapping[str, Array]


class Carry(NamedTuple):
    """An inner problem between two steps: the task's arrays, and the optimizer's memory."""

    params: PyTree
    state: PyTree
    memory: PyTree


class Outcome(NamedTuple):
    """How an inner problem went.

    Attributes:
      objective: The meta-loss: the family's normalised loss, less that of a perfect model.
      last: Mean raw training loss (nats) over the last tenth of the unroll.
    """

    objective: Float[Array, "*particles"]
    last: Float[Array, "*particles"]


#: Makes the optimizer of (its weights, the number of steps), both traced. Its ``update`` is given
#: ``value``, the training loss.
MakeOptimizer: TypeAlias = Callable[[PyTree, Array], optax.GradientTransformationExtraArgs]


class Steps:
    """The pieces of an inner problem: its start, one training step, one batch's loss.

    ``gather`` is that of the task's training source.
    """

    def __init__(self, task: Task, gather: Callable[..., PyTree], make_optimizer: MakeOptimizer):
        self._task = task
        self._gather = gather
        self._make_optimizer = make_optimizer

    def start(self, weights: PyTree, problem: Problem, steps: Array) -> Carry:
        start_key, _ = jax.random.split(problem.key)
        params, state = self._task.init(start_key, dict(problem.dynamic))
        return Carry(params, state, self._make_optimizer(weights, steps).init(params))

    def stepper(
        self, weights: PyTree, problem: Problem, steps: Array, arrays: PyTree
    ) -> Callable[[Array, Carry], tuple[Carry, Array]]:
        """Return ``step(index, carry) -> (carry, raw loss before the update)``."""
        optimizer = self._make_optimizer(weights, steps)

        def step(index: Array, carry: Carry) -> tuple[Carry, Array]:
            def loss_of(params: PyTree) -> tuple[Array, PyTree]:
                return self._loss(params, carry.state, problem, index, arrays)

            (loss, state), grads = jax.value_and_grad(loss_of, has_aux=True)(carry.params)
            updates, memory = optimizer.update(grads, carry.memory, carry.params, value=loss)
            params = optax.apply_updates(carry.params, updates)
            return Carry(params, state, memory), self._plain(loss, problem)

        return step

    def batch_loss(self, carry: Carry, problem: Problem, index: Array, arrays: PyTree) -> Array:
        """Return the raw training loss on one batch."""
        loss, _ = self._loss(carry.params, carry.state, problem, index, arrays)
        return self._plain(loss, problem)

    def normalized(self, loss: Array) -> Array:
        """Return the family's normalised loss, less that of a perfect model.

        Normalised losses may be negative; these are not, so that their logarithm exists.
        """
        return self._task.normalize(loss) - self._task.normalize(jnp.zeros((), jnp.float32))

    def _loss(
        self, params: PyTree, state: PyTree, problem: Problem, index: Array, arrays: PyTree
    ) -> tuple[Array, PyTree]:
        _, loop_key = jax.random.split(problem.key)
        batch_key, loss_key = jax.random.split(jax.random.fold_in(loop_key, index))
        batch = self._gather(arrays, problem.indices[index], batch_key, augment=True)
        dynamic = dict(problem.dynamic)
        return self._task.loss(params, state, loss_key, batch, train=True, dynamic=dynamic)

    def _plain(self, loss: Array, problem: Problem) -> Array:
        """Return the loss that the optimizer saw, without what augmentations did to it."""
        if isinstance(self._task, AugmentedTask):
            return self._task.plain_loss(loss, dict(problem.dynamic))
        return loss


#: Part of an unroll that `Outcome.last` averages over.
LAST_FRACTION = 0.1


def make_unroll(
    steps_of: Steps, config: UnrollConfig
) -> Callable[[PyTree, Problem, ArrayLike, PyTree], Outcome]:
    """Return ``unroll(optimizer_weights, problem, steps, arrays)`` of one particle.

    ``steps`` may be any number up to ``config.high``, without another compilation.
    """

    def unroll(weights: PyTree, problem: Problem, steps: ArrayLike, arrays: PyTree) -> Outcome:
        steps = jnp.asarray(steps, jnp.int32)
        tail_start = steps - jnp.ceil(config.tail_fraction * steps).astype(jnp.int32)
        tail_start = jnp.minimum(tail_start, steps - 1)
        last_start = steps - jnp.ceil(LAST_FRACTION * steps).astype(jnp.int32)
        advance = steps_of.stepper(weights, problem, steps, arrays)

        def step(index: Array, carry: tuple[Carry, Array, Array]) -> tuple[Carry, Array, Array]:
            inner, tail, last = carry
            inner, loss = advance(index, inner)
            tail = tail + jnp.where(index >= tail_start, steps_of.normalized(loss), 0.0)
            return inner, tail, last + jnp.where(index >= last_start, loss, 0.0)

        zero = jnp.zeros((), jnp.float32)
        carry = (steps_of.start(weights, problem, steps), zero, zero)
        inner, tail, last = jax.lax.fori_loop(0, steps, step, carry)
        last = last / (steps - last_start)
        if config.objective == "tail":
            return Outcome(tail / (steps - tail_start), last)

        def final(index: Array) -> Array:
            return steps_of.normalized(steps_of.batch_loss(inner, problem, index, arrays))

        fresh = config.high + jnp.arange(config.final_batches)
        return Outcome(jnp.mean(jax.lax.map(final, fresh)), last)

    return unroll


def make_window(steps_of: Steps) -> Callable[..., tuple[Carry, Array]]:
    """Return ``window(weights, problem, carry, begin, end, steps, arrays)`` of one particle.

    It makes inner steps ``begin`` to ``end`` of a problem of ``steps`` steps and returns the carry
    and the window's meta-loss: the mean normalised training loss, less a perfect model's.
    """

    def window(
        weights: PyTree,
        problem: Problem,
        carry: Carry,
        begin: ArrayLike,
        end: ArrayLike,
        steps: ArrayLike,
        arrays: PyTree,
    ) -> tuple[Carry, Array]:
        begin, end, steps = (jnp.asarray(x, jnp.int32) for x in (begin, end, steps))
        advance = steps_of.stepper(weights, problem, steps, arrays)

        def step(index: Array, pair: tuple[Carry, Array]) -> tuple[Carry, Array]:
            inner, total = pair
            inner, loss = advance(index, inner)
            return inner, total + steps_of.normalized(loss)

        zero = jnp.zeros((), jnp.float32)
        carry, total = jax.lax.fori_loop(begin, end, step, (carry, zero))
        return carry, total / (end - begin)

    return window


def batches_needed(config: UnrollConfig) -> int:
    """Return how many batches of indices a `Problem` has."""
    return config.high + (config.final_batches if config.objective == "final" else 0)
