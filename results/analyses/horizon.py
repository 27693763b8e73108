"""What a wrong declared number of steps costs an optimizer that knows how many it makes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from velodrome.results.speedup.overtasks import Sample
from velodrome.results.speedup.stats import (
    FEW_TASKS,
    MAX_CENSORED,
    Interval,
    aggregate,
    gather,
    interval,
    median,
    uniforms,
)
from velodrome.results.speedup.taskresult import TaskResult, measured, unsaturated
from velodrome.results.store.cell import Cell
from velodrome.results.store.optimizer_ref import declared

HORIZON_COLUMNS = (
    "label", "declared", "tasks", "median", "low", "high", "low_new_tasks", "high_new_tasks",
    "lower_bound", "low_open", "high_open", "low_new_tasks_open", "high_new_tasks_open",
    "change", "change_low", "change_high", "bounded", "bound",
)  # fmt: skip
"""Columns of :func:`horizon_table`: a row for each optimizer and declared number of steps.

``label`` is that of the optimizer with the true number, ``declared`` the declared number over the
true one. ``median`` is that of the speedups in steps over the baseline. ``change`` is the median
over tasks of the speedup over that with the true number, with its 95% interval for new tasks and
new seeds (NaN under 5 tasks); below 1 the wrong number made it slower. ``tasks`` counts those that
have both speedups, ``bounded`` those of them on which the baseline's budget bounds one. With more
than a quarter of such tasks, ``bound`` says what the change is: ``"<="`` where only speedups with
the true number are bounded, ``">="`` where only the others are, ``"~"`` where both are; else it is
empty.
"""


def horizon_table(results: Sequence[TaskResult], cells: Collection[Cell]) -> pd.DataFrame:
    """Return rows of :data:`HORIZON_COLUMNS`; none unless an optimizer has a wrong number declared.

    Saturated tasks are left out, and optimizers without runs with the true number.
    """
    label_of = {cell.optimizer.name: cell.label for cell in cells}
    by_factor: dict[str, dict[float, str]] = {}
    for cell in cells:
        factor, name = declared(cell.optimizer.name)
        if name in label_of:
            by_factor.setdefault(name, {})[factor] = cell.label
    rows = [
        row
        for name, labels in by_factor.items()
        if len(labels) > 1
        for factor, label in sorted(labels.items())
        if (row := _row(results, label_of[name], label, factor))
    ]
    return pd.DataFrame(rows, columns=list(HORIZON_COLUMNS))


def _row(
    results: Sequence[TaskResult], true_label: str, label: str, factor: float
) -> Mapping[str, object]:
    ours, theirs = (
        {r.row["index"]: r for r in unsaturated(results, name) if "train" in r.splits}
        for name in (label, true_label)
    )
    common = [index for index in ours if index in theirs]
    if not common:
        return {}
    mine, true = (measured([side[i] for i in common], unit="steps") for side in (ours, theirs))
    found = Sample([m.resamples for m in mine.splits]).median(
        aggregate(mine.log2, mine.censored, median), mine.shift
    )
    ends = Interval()
    if len(common) >= FEW_TASKS:
        which, uniform = uniforms(len(common), new_tasks=True)
        drawn = [
            median(gather([m.resamples for m in side.splits], which, uniform))
            for side in (mine, true)
        ]
        ends = Interval(*interval(median(_apart(*drawn))))
    bounded = int((mine.censored | true.censored).sum())
    bound = "" if factor == 1 or bounded / len(common) <= MAX_CENSORED else "~"
    if bound and not (mine.censored.any() and true.censored.any()):
        bound = "<=" if true.censored.any() else ">="
    return {
        **found.row(),
        "label": true_label,
        "declared": factor,
        "tasks": len(common),
        "median": found.value,
        "change": float(np.exp2(median(_apart(mine.log2, true.log2)))),
        "change_low": ends.low,
        "change_high": ends.high,
        "bounded": bounded,
        "bound": bound,
    }


def _apart(mine: np.ndarray, true: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # -inf - -inf: both have speedup 0
        apart = mine - true
    return np.where(np.isnan(apart), 0.0, apart)
