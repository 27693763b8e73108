"""A suite on other data than its own: generated stand-ins, or the real data that is built in."""

from __future__ import annotations

import dataclasses

from velodrome.foundation.errors import PlanError, SpecError
from velodrome.suites.suite import Suite
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.standin.catalog import PREFIX, stand_in_name
from velodrome.taskgen.spec import TaskSpec

CHOICES = ("stand-in", "built-in")

#: Published data sets, and the built-in real data that can serve in their place.
#: Part of the same images; and other text, in bytes as well.
BUILT_IN = {"mnist": "mnist5k", "lm1b_bytes": "kjv"}


def with_data(suite: Suite, choice: str | None) -> Suite:
    """Returns the suite with the data sets of its tasks replaced.

    The replacement is part of each task's spec, so results never share a cell with results on the
    data that were replaced, and the suite's name says it. Tasks on data that are here anyway,
    built in or generated, stay as they are.

    Args:
      suite: The suite.
      choice: "stand-in": every published data set is replaced by its stand-in. "built-in": those
        that built-in real data can serve for, by that. None: nothing is replaced.

    Raises:
      SpecError: The choice is unknown.
      PlanError: No task of the suite is on published data, or built-in data cannot serve for all
        tasks.
    """
    if choice is None:
        return suite
    if choice not in CHOICES:
        raise SpecError("data", choice, f"one of {', '.join(CHOICES)}")
    published = [task for task in suite.tasks if _is_published(task.data.name)]
    if not published:
        raise PlanError(
            f"no task of {suite.name} is on published data, so there is nothing to put "
            f"{choice} data in the place of; leave out --data."
        )
    unserved = sorted({task.data.name for task in published} - set(BUILT_IN))
    if choice == "built-in" and unserved:
        raise PlanError(
            f"built-in data can serve for {', '.join(BUILT_IN)} only, but {suite.name} has tasks "
            f"on {', '.join(unserved)} too; run only those tasks, or use --data stand-in."
        )
    tasks = tuple(
        _on(task, choice) if _is_published(task.data.name) else task for task in suite.tasks
    )
    return dataclasses.replace(suite, name=f"{suite.name} on {choice} data", tasks=tasks)


def _is_published(name: str) -> bool:
    return name in datasets and datasets.get(name).info.provenance == "real"


def _on(task: TaskSpec, choice: str) -> TaskSpec:
    name = task.data.name
    other = stand_in_name(name) if choice == "stand-in" else BUILT_IN[name]
    if other not in datasets:
        raise PlanError(
            f"the data set {name!r} of task {task.label} has no stand-in: none is registered as "
            f"{PREFIX + name!r}."
        )
    # A label that was made of the hash would change with it.
    data = dataclasses.replace(task.data, name=other)
    return dataclasses.replace(task, data=data, name=task.label)
