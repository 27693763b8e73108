"""Speedups by family: how many tasks, their median with intervals, and the worst of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from results.headline import TaskResult, Unit, labels
from results.overtasks import Sample
from results.stats import aggregate, median

FAMILY_COLUMNS = (
    "label", "unit", "family", "tasks", "censored", "seeds", "median", "low", "high",
    "low_new_tasks", "high_new_tasks", "lower_bound", "worst_task", "worst",
)  # fmt: skip


def family_table(results: Sequence[TaskResult]) -> pd.DataFrame:
    """Rows of :data:`FAMILY_COLUMNS`, in steps and in seconds, saturated tasks left out.

    ``median``, its intervals and ``worst`` are speedups in train loss by the default definition.
    """
    families = list(dict.fromkeys(str(result.row["family"]) for result in results))
    rows = [
        row
        for label in labels(results)
        for unit in ("steps", "seconds")
        for family in families
        if (row := _row(results, label, unit, family))
    ]
    return pd.DataFrame(rows, columns=list(FAMILY_COLUMNS))


def _row(
    results: Sequence[TaskResult], label: str, unit: Unit, family: str
) -> dict[str, object] | None:
    known = [
        result
        for result in results
        if result.row["label"] == label
        and str(result.row["family"]) == family
        and not result.row["saturated"]
        and "train" in result.splits
        and np.isfinite(result.shift(unit))
    ]
    if not known:
        return None
    measured = [result.splits["train"] for result in known]
    shift = np.array([result.shift(unit) for result in known])
    censored = np.array([m.censored for m in measured], dtype=bool)
    with np.errstate(divide="ignore"):
        per_task = np.log2(np.array([m.ratio for m in measured], dtype=float)) + shift
    found = Sample([m.resamples for m in measured]).median(
        aggregate(per_task, censored, median), shift
    )
    worst = int(np.argmin(per_task))
    numbers = dict(vars(found))
    return {
        "label": label,
        "unit": unit,
        "family": family,
        "tasks": len(known),
        "censored": int(censored.sum()),
        "seeds": min(m.log2_seeds.size for m in measured),
        "median": numbers.pop("value"),
        **numbers,
        "worst_task": known[worst].row["task"],
        "worst": float(np.exp2(per_task[worst])),
    }
