"""Speedups against what may be too much: parameters, steps, a wrong number of steps declared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import pandas as pd

from velodrome.results.speedup.overtasks import Sample
from velodrome.results.speedup.stats import aggregate, median
from velodrome.results.speedup.taskresult import TaskResult, measured, unsaturated
from velodrome.results.store.optimizer_ref import declared

By = Literal["parameters", "steps", "declared"]
"""What speedups are shown against: parameters of the network, updates of the run, or the declared
number of steps over the true one."""

STRESS_COLUMNS = (
    "series", "x", "tasks", "censored", "seeds", "median", "low", "high", "lower_bound", "low_open",
    "high_open", "each",
)  # fmt: skip
"""Columns of :func:`stress_table`: the median speedup in steps over tasks, and its 95% interval
for the same tasks and new seeds; ``each`` has the speedups one by one."""


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
    labels = {str(result.row["optimizer"]): str(result.row["label"]) for result in results}
    groups: dict[tuple[str, float], list[TaskResult]] = {}
    for label in dict.fromkeys(labels.values()):
        for result in unsaturated(results, label):
            factor, optimizer = declared(str(result.row["optimizer"]))
            if by == "parameters":
                place = f"{label}, {result.row['family']}", float(parameters(result))
            elif by == "steps":
                place = label, float(str(result.row["steps"]))
            else:  # in the series of the optimizer with the true number
                place = labels.get(optimizer, optimizer), factor
            if by == "declared" or factor == 1.0:
                groups.setdefault(place, []).append(result)
    rows = [_row(series, x, mine) for (series, x), mine in sorted(groups.items())]
    return pd.DataFrame([row for row in rows if row], columns=list(STRESS_COLUMNS))


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
