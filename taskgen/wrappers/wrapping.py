"""Wrap a task in its augmentations, and what every wrapper needs for that."""

from __future__ import annotations

import dataclasses
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jaxtyping import PyTree

from velodrome.taskgen.augmentation import KINDS, Augmentation
from velodrome.taskgen.functions import Batch, Corpus, Dynamic, Scalar
from velodrome.taskgen.nn.evolution import with_gradient
from velodrome.taskgen.task import Task


def _unchanged(loss: jax.Array, dynamic: Dynamic | None = None) -> jax.Array:
    del dynamic
    return loss


@dataclass(frozen=True, eq=False, kw_only=True)
class AugmentedTask(Task):
    """A task inside wrappers.

    Attributes:
      plain_loss: ``plain_loss(loss, dynamic=None)``: the task's loss for a training loss of the
        wrapped task.
    """

    plain_loss: Callable[..., jax.Array] = _unchanged


@dataclass(frozen=True)
class Values:
    """The fields of one augmentation: static ones as attributes of ``config``.

    Attributes:
      name: The augmentation.
      config: Its config.
      constants: Its dynamic values where nothing else is given.
    """

    name: str
    config: Any
    constants: Mapping[str, int | float]

    def get(self, dynamic: Dynamic | None, field: str) -> Scalar:
        """Return a dynamic field: traced if ``dynamic`` has it, the spec's constant if not."""
        name = f"{self.name}.{field}"
        return (dynamic or {}).get(name, self.constants[name])


def augment(task: Task, augmentations: Sequence[Augmentation]) -> Task:
    """Return the task inside its wrappers, the first one innermost."""
    if not augmentations:
        return task
    wrapped = as_augmented(task)
    for augmentation in augmentations:
        wrap = pkgutil.resolve_name(KINDS[augmentation.name].wrapper)
        wrapped = with_values(wrapped, augmentation, wrap)
    return wrapped


def as_augmented(task: Task) -> AugmentedTask:
    """Return the task with the attributes of an augmented one."""
    fields = {field.name: getattr(task, field.name) for field in dataclasses.fields(Task)}
    own = frozenset(task.dynamic)

    def mine(dynamic: Dynamic | None) -> Dynamic | None:
        # The wrapped task does not see the wrappers' values.
        return None if dynamic is None else {k: v for k, v in dynamic.items() if k in own}

    def init(key: jax.Array, dynamic: Dynamic | None = None) -> tuple[PyTree, PyTree]:
        return task.init(key, mine(dynamic))

    def loss(params, state, key, batch, *, train: bool, dynamic: Dynamic | None = None):
        return task.loss(params, state, key, batch, train=train, dynamic=mine(dynamic))

    def metrics(params, state, key, batch, *, train=False, dynamic: Dynamic | None = None):
        return task.metrics(params, state, key, batch, train=train, dynamic=mine(dynamic))

    replaced = {"init": init, "loss": loss, "metrics": metrics}
    replaced["corpus"] = corpus_of(task, dynamic=mine)
    return AugmentedTask(**{**fields, **replaced})


def corpus_of(
    task: Task,
    *,
    see: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]] = lambda params, state: (params, state),
    dynamic: Callable[[Dynamic | None], Dynamic | None] = lambda dynamic: dynamic,
) -> Corpus | None:
    """Return the corpus metrics of a task inside a wrapper.

    Args:
      see: From the wrapper's parameters and state to those of the task.
      dynamic: From all dynamic values to those of the task.
    """
    if task.corpus is None:
        return None
    inside, seen_values = task.corpus.collect, dynamic

    def collect(params, state, key, batch, *, dynamic: Dynamic | None = None) -> Batch:
        return inside(*see(params, state), key, batch, dynamic=seen_values(dynamic))

    return dataclasses.replace(task.corpus, collect=collect)


def with_values(
    task: AugmentedTask,
    augmentation: Augmentation,
    wrap: Callable[[AugmentedTask, Values], AugmentedTask],
) -> AugmentedTask:
    """Apply a wrapper and add its dynamic values to the task's."""
    constants = augmentation.dynamic
    wrapped = wrap(task, Values(augmentation.name, augmentation.config, constants))
    # Shapes are the family's; a wrapper may add to the state.
    return dataclasses.replace(wrapped, dynamic={**task.dynamic, **constants}, shapes=None)


Change = Callable[[PyTree, jax.Array, Dynamic | None], PyTree]
"""``change(gradient, key, dynamic)`` returns another gradient."""


def in_training(
    task: AugmentedTask, gradient: Callable[..., tuple[jax.Array, PyTree, PyTree]]
) -> AugmentedTask:
    """Replace the gradient in training.

    Args:
      gradient: ``gradient(loss, params, state, key, batch, dynamic)`` returns the value of the
        loss, the new state, and the gradient; ``loss`` takes the other five arguments.
    """

    def plain(params, state, key, batch, dynamic):
        return task.loss(params, state, key, batch, train=True, dynamic=dynamic)

    def replacement(*args):
        return gradient(plain, *args)

    replaced = with_gradient(lambda *args: replacement(*args)[:2], replacement)

    def loss(params, state, key, batch, *, train: bool, dynamic: Dynamic | None = None):
        if train:
            return replaced(params, state, key, batch, dynamic)
        return task.loss(params, state, key, batch, train=False, dynamic=dynamic)

    return dataclasses.replace(task, loss=loss)


def changed_gradient(task: AugmentedTask, change: Change) -> AugmentedTask:
    """Put the gradient through ``change`` in training."""

    def gradient(plain, params, state, key, batch, dynamic):
        (value, new_state), slope = jax.value_and_grad(plain, has_aux=True)(
            params, state, key, batch, dynamic
        )
        return value, new_state, change(slope, key, dynamic)

    return in_training(task, gradient)
