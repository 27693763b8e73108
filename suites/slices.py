"""Parts of suites: the published tasks of one group, the tasks on one data set, or one task."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from velodrome.foundation.errors import UnknownNameError
from velodrome.suites.suite import Suite
from velodrome.taskgen.spec import TaskSpec


def slices(suite: Suite) -> dict[str, Suite]:
    """Returns the published tasks of a suite group by group, as suites by name.

    Empty where there is only one group, or none.
    """
    from velodrome.suites.published.tasks import (  # here: few suites need them
        group_of,
        published_tasks,
    )

    known = published_tasks()
    parts = _parts(suite, lambda task: group_of(task.name) if task.name in known else "")
    return parts if len(parts) > 1 else {}


def _parts(suite: Suite, part_of: Callable[[TaskSpec], str]) -> dict[str, Suite]:
    parts: dict[str, list[TaskSpec]] = {}
    for task in suite.tasks:
        if part := part_of(task):
            parts.setdefault(f"{suite.name}/{part}", []).append(task)
    return {
        name: dataclasses.replace(suite, name=name, tasks=tuple(tasks))
        for name, tasks in parts.items()
    }


def part_of_suite(suite: Suite, part: str) -> Suite:
    """Returns a part of a suite, as a suite of its own.

    Args:
      suite: The whole.
      part: A group of its published tasks, the data set of some of its tasks, or the name of a
        task.

    Raises:
      UnknownNameError: It has no such part.
      PlanError: The part is a published task that is not implemented.
    """
    from velodrome.suites.published.tasks import refuse_missing

    refuse_missing(part)
    parts = {
        **_parts(suite, lambda task: task.name),
        **_parts(suite, lambda task: task.data.name),
        **slices(suite),
    }
    name = f"{suite.name}/{part}"
    if name not in parts:
        raise UnknownNameError("part of a suite", name, parts)
    return parts[name]
