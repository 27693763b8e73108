"""What every wrapper needs: its values, a state beside the task's, another gradient."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax

from velodrome.taskgen.augmentation import Augmentation
from velodrome.taskgen.nn.evolution import with_gradient
from velodrome.taskgen.task import Task


def _unchanged(loss: Any, dynamic: Any = None) -> Any:
    del dynamic
    return loss


@dataclass(frozen=True, eq=False)
class AugmentedTask(Task):
    """A task inside wrappers.

    Attributes:
      plain_loss: ``plain_loss(loss, dynamic=None)``: the task's own loss of a training loss.
    """

    plain_loss: Callable[..., Any] = _unchanged


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

    def get(self, dynamic: Mapping[str, Any] | None, field: str) -> Any:
        """Returns a dynamic field: traced if ``dynamic`` has it, the spec's constant if not."""
        name = f"{self.name}.{field}"
        return (dynamic or {}).get(name, self.constants[name])


def as_augmented(task: Task) -> AugmentedTask:
    """Returns the task with the attributes of an augmented one."""
    fields = {field.name: getattr(task, field.name) for field in dataclasses.fields(Task)}
    own = frozenset(task.dynamic)

    def mine(dynamic: Mapping[str, Any] | None) -> dict[str, Any] | None:
        # The wrapped task is not shown the wrappers' values.
        return None if dynamic is None else {k: v for k, v in dynamic.items() if k in own}

    def init(key: Any, dynamic: Any = None) -> Any:
        return task.init(key, mine(dynamic))

    def loss(params: Any, state: Any, key: Any, batch: Any, *, train: bool, dynamic: Any = None):
        return task.loss(params, state, key, batch, train=train, dynamic=mine(dynamic))

    def metrics(params: Any, state: Any, key: Any, batch: Any, *, dynamic: Any = None, **options):
        return task.metrics(params, state, key, batch, dynamic=mine(dynamic), **options)

    return AugmentedTask(**{**fields, "init": init, "loss": loss, "metrics": metrics})


def with_values(
    task: AugmentedTask,
    augmentation: Augmentation,
    wrap: Callable[[AugmentedTask, Values], AugmentedTask],
) -> AugmentedTask:
    """Applies a wrapper and adds its dynamic values to the task's."""
    constants = augmentation.dynamic
    wrapped = wrap(task, Values(augmentation.name, augmentation.config, constants))
    # Shapes are the family's; a wrapper may have a state of its own.
    return dataclasses.replace(wrapped, dynamic={**task.dynamic, **constants}, shapes=None)


def in_training(
    task: AugmentedTask, gradient: Callable[..., tuple[Any, Any, Any]]
) -> AugmentedTask:
    """Replaces the gradient in training.

    Args:
      task: The task.
      gradient: ``gradient(loss, params, state, key, batch, dynamic)`` returns the value of the
        loss, the new state, and the gradient; ``loss`` takes the other five arguments.
    """

    def plain(params: Any, state: Any, key: Any, batch: Any, dynamic: Any) -> Any:
        return task.loss(params, state, key, batch, train=True, dynamic=dynamic)

    def replacement(*args: Any) -> Any:
        return gradient(plain, *args)

    replaced = with_gradient(lambda *args: replacement(*args)[:2], replacement)

    def loss(params: Any, state: Any, key: Any, batch: Any, *, train: bool, dynamic: Any = None):
        if train:
            return replaced(params, state, key, batch, dynamic)
        return task.loss(params, state, key, batch, train=False, dynamic=dynamic)

    return dataclasses.replace(task, loss=loss)


def changed_gradient(task: AugmentedTask, change: Callable[[Any, Any, Any], Any]) -> AugmentedTask:
    """Puts the gradient through ``change(gradient, key, dynamic)`` in training."""

    def gradient(plain: Any, params: Any, state: Any, key: Any, batch: Any, dynamic: Any) -> Any:
        (value, new_state), slope = jax.value_and_grad(plain, has_aux=True)(
            params, state, key, batch, dynamic
        )
        return value, new_state, change(slope, key, dynamic)

    return in_training(task, gradient)
