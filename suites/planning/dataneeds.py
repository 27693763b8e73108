"""Which suite needs which data set, and what a task's data take in memory."""

from __future__ import annotations

from velodrome.foundation.errors import VelodromeError
from velodrome.suites.catalog import load_suite, suites
from velodrome.suites.suite import Suite
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.resident import predicted_bytes, resident_limit


def suites_by_data() -> tuple[dict[str, list[str]], list[str]]:
    """Returns the names of the registered suites that have tasks on each data set.

    Returns:
      {data set: [suite, ...]}, and a line about each suite that cannot be read.
    """
    needed: dict[str, list[str]] = {}
    problems = []
    for name in suites.names():
        try:
            used = {task.data.name for task in load_suite(name).tasks}
        except VelodromeError as error:
            problems.append(f"suite {name}: {error}")
            continue
        for data in sorted(used):
            needed.setdefault(data, []).append(name)
    return needed, problems


def data_bytes(suite: Suite) -> dict[str, int]:
    """Returns what the data of each task take in memory, about, by the task's hash.

    Data that do not fit on the device stay in their files, and count as nothing.
    """
    limit = resident_limit()
    found = {}
    for task in suite.tasks:
        info = datasets.get(task.data.name).info
        view = task.family_object.view(task.config, info)
        size = predicted_bytes(info, view, shift=task.data.shift)
        found[task.hash] = size if size <= limit else 0
    return found
