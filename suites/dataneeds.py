"""Which suite needs which data set."""

from __future__ import annotations

from foundation.errors import VelodromeError
from suites.suite import load_suite, suites


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
