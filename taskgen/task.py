"""Task: the contract between what is trained and whatever trains it."""

from __future__ import annotations

from dataclasses import dataclass

from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.functions import TaskFunctions
from velodrome.taskgen.spec import TaskSpec


@dataclass(frozen=True, eq=False, kw_only=True)  # equal to itself alone: jit caches by identity
class Task(TaskFunctions):
    """A trainable task: the functions of `TaskFunctions`, and what is known about them.

    Attributes:
      spec: What the task was built from.
      dynamic: The spec's dynamic values, as Python numbers.
      cost: The cost of a training step.

    Examples:
      >>> spec = velodrome.TaskSpec("mlp", {"num_layers": 0}, velodrome.DataSpec("digits"), 32)
      >>> velodrome.build(spec).cost.params
      650
    """

    spec: TaskSpec
    dynamic: dict[str, int | float]
    cost: Cost
