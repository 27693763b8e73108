"""The tasks of a suite, computed in another way: with fewer digits, or a batch in parts."""

from __future__ import annotations

import dataclasses

from velodrome.foundation.errors import SpecError
from velodrome.suites.suite import Suite
from velodrome.taskgen.spec import TaskSpec


def computed_as(
    suite: Suite, *, precision: str | None = None, grad_accumulation: int | None = None
) -> Suite:
    """Return a suite whose tasks are computed in another way; their labels and its name say so.

    Numbers differ, so the tasks are others than before, and share no cell with those.

    Args:
      precision: The format of activations, "float32" or "bfloat16". None: as the tasks say.
      grad_accumulation: Parts of a batch. None: as the tasks say.

    Raises:
      SpecError: A value is unknown, a family of the suite cannot do it, or the parts do not divide
        the batch of a task.
    """
    if precision is None and grad_accumulation is None:
        return suite

    def changed(task: TaskSpec) -> TaskSpec:
        parts = task.grad_accumulation if grad_accumulation is None else grad_accumulation
        try:
            made = dataclasses.replace(
                task, precision=precision or task.precision, grad_accumulation=parts
            )
        except SpecError as error:
            where = f"{error.allowed}, in the task {task.label}"
            raise SpecError(error.field, error.value, where) from error
        plain = task.label.removesuffix(task.computed)
        return dataclasses.replace(made, name=plain + made.computed)

    how = [f"in {precision}"] if precision else []
    if grad_accumulation is not None:
        how.append(f"with batches in {grad_accumulation} parts")
    tasks = tuple(changed(task) for task in suite.tasks)
    labels = {old.label: new.label for old, new in zip(suite.tasks, tasks, strict=True)}
    targets = {labels[label]: target for label, target in suite.targets.items()}
    name = f"{suite.name} {' '.join(how)}"
    return dataclasses.replace(suite, name=name, tasks=tasks, targets=targets)
