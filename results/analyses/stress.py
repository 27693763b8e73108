"""Speedups against what may be too much: parameters, steps, a wrong number of steps declared."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

import pandas as pd

from velodrome.results.speedup.overtasks import Sample
from velodrome.results.speedup.stats import aggregate, median
from velodrome.results.speedup.taskresult import TaskResult, measured, unsaturated
from velodrome.results.store.plan import OptimizerRef

By = Literal["parameters", "steps", "told"]
"""What speedups are shown against: parameters of the network, updates of the run, or the number of
steps that the optimizer was told over the true one."""

STRESS_COLUMNS = (
    "series", "x", "tasks", "censored", "seeds", "median", "low", "high", "lower_bound", "low_open",
    "high_open", "each",
)  # fmt: skip
"""Columns of :func:`stress_table`: the median speedup in steps over tasks, and its 95% interval
for the same tasks and new seeds; ``each`` has the speedups one by one."""

_TOLD_LABEL = re.compile(r", told \S+ x the steps$")


def stress_table(
    results: Sequence[TaskResult], *, by: By, parameters: Callable[[TaskResult], int]
) -> pd.DataFrame:
    """Return rows of :data:`STRESS_COLUMNS`, by series and x; saturated tasks are left out.

    Against parameters there is a series for each family of each optimizer: networks of one size
    are as different as their families.

    Args:
      results: From one store or from several.
      parameters: Tells the size of a result's network.
    """
    groups: dict[tuple[str, float], list[TaskResult]] = {}
    labels = dict.fromkeys(str(result.row["label"]) for result in results)
    for result in (known for label in labels for known in unsaturated(results, label)):
        if by == "told" or _told(result) == 1.0:
            groups.setdefault(_place(result, by, parameters), []).append(result)
    rows = [_row(series, x, mine) for (series, x), mine in sorted(groups.items())]
    return pd.DataFrame([row for row in rows if row], columns=list(STRESS_COLUMNS))


def _place(
    result: TaskResult, by: By, parameters: Callable[[TaskResult], int]
) -> tuple[str, float]:
    """Return the series and the x of a result."""
    label = str(result.row["label"])
    if by == "parameters":
        return f"{label}, {result.row['family']}", float(parameters(result))
    if by == "steps":
        return label, float(str(result.row["steps"]))
    return _TOLD_LABEL.sub("", label), _told(result)


def _told(result: TaskResult) -> float:
    """Return the declared steps over the true ones."""
    return OptimizerRef(str(result.row["optimizer"]), "").declared[0]


def _row(series: str, x: float, results: Sequence[TaskResult]) -> dict[str, object]:
    known = measured(results, unit="steps")
    if not known.places:
        return {}
    found = Sample([split.resamples for split in known.splits]).median(
        aggregate(known.log2, known.censored, median), known.shift
    )
    return {
        **found.row(),
        "series": series,
        "x": x,
        "tasks": len(known.places),
        "censored": int(known.censored.sum()),
        "seeds": known.seeds,
        "median": found.value,
        "each": known.each,
    }
