"""Speedups by family: how many tasks, their median with intervals, and the worst of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from velodrome.results.speedup.overtasks import Sample
from velodrome.results.speedup.stats import FEW_TASKS, aggregate, median
from velodrome.results.speedup.taskresult import TaskResult, Unit, labels, measured, unsaturated

FAMILY_COLUMNS = (
    "label", "unit", "family", "tasks", "censored", "seeds", "median", "low", "high",
    "low_new_tasks", "high_new_tasks", "lower_bound", "low_open", "high_open", "low_new_tasks_open",
    "high_new_tasks_open", "worst_task", "worst", "each",
)  # fmt: skip


def family_table(results: Sequence[TaskResult]) -> pd.DataFrame:
    """Return rows of :data:`FAMILY_COLUMNS`, in steps and in seconds, saturated tasks left out.

    ``median``, its intervals and ``worst`` are speedups in train loss by the default definition.
    ``each`` has the speedups one by one where the tasks are too few for a median to say much.
    """
    families = list(dict.fromkeys(str(result.row["family"]) for result in results))
    rows = [
        _row([r for r in known if str(r.row["family"]) == family], label, unit, family)
        for label in labels(results)
        for known in [unsaturated(results, label)]
        for unit in ("steps", "seconds")
        for family in families
    ]
    return pd.DataFrame([row for row in rows if row], columns=list(FAMILY_COLUMNS))


def _row(results: Sequence[TaskResult], label: str, unit: Unit, family: str) -> dict[str, object]:
    known = measured(results, unit=unit)
    if not known.places:
        return {}
    found = Sample([m.resamples for m in known.splits]).median(
        aggregate(known.log2, known.censored, median), known.shift
    )
    worst = int(np.argmin(known.log2))
    return {
        **found.row(),
        "label": label,
        "unit": unit,
        "family": family,
        "tasks": len(known.places),
        "censored": int(known.censored.sum()),
        "seeds": known.seeds,
        "median": found.value,
        "worst_task": known.results[worst].row["task"],
        "worst": float(np.exp2(known.log2[worst])),
        "each": known.each if len(known.places) < FEW_TASKS else "",
    }
