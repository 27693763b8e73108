"""Speedups at equal total cost of tuning: against the whole sweep, and against a sensible one.

All K trials of the baseline run to the horizon at which the winner is chosen, against all trials of
the candidate to theirs. The envelope over rates reaches a loss at the first horizon whose winner
has it, so the total cost is the speedup times the quotient of the numbers of trials. Who knows
where to look pays for the rates near the best one alone; who does not draws rates at random.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from velodrome.results.speedup.overtasks import Sample
from velodrome.results.speedup.stats import FEW_TASKS, aggregate, median
from velodrome.results.speedup.taskresult import TaskResult, Unit, labels, measured, unsaturated

COST_COLUMNS = (
    "label", "against", "unit", "trials", "tasks", "median", "low", "high", "low_new_tasks",
    "high_new_tasks", "lower_bound", "low_open", "high_open", "low_new_tasks_open",
    "high_new_tasks_open", "each",
)  # fmt: skip
"""Columns of :func:`cost_table`.

``against`` is "all rates" of the baseline's sweep, "near rates" (those within two steps of the
task's best one after N steps) or "random rates". ``trials`` is the mean number of these trials, for
each trial of the candidate. ``median`` is that of the speedups at equal total cost.
Against "random rates" ``trials`` is the smallest k for which the expected best of k of the
baseline's rates, drawn at random, comes as far in N steps as the candidate on the mean task; NaN if
none does, and there is no median.
"""


def cost_table(results: Sequence[TaskResult], tuning: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return rows of :data:`COST_COLUMNS`; ``tuning`` is that of ``tuning_curves``."""
    rows: list[Mapping[str, object]] = []
    for label in labels(results):
        known = unsaturated(results, label)
        rows += _measured(known, label)
        rows += _random(tuning, label, baseline)
    return pd.DataFrame(rows, columns=list(COST_COLUMNS))


def _measured(results: Sequence[TaskResult], label: str) -> Iterator[dict[str, object]]:
    units: tuple[Unit, ...] = ("cost", "cost-seconds")
    for against in ("all rates", "near rates"):
        for unit in units:
            known = measured(results, unit=unit)
            if not known.places or max(r.trials for r in known.results) <= 1:
                continue
            all_trials, near = (
                np.array([getattr(r, name) for r in known.results])
                for name in ("trials", "near_trials")
            )
            trials = all_trials if against == "all rates" else near
            found = known.shifted(np.log2(trials / all_trials))
            value = Sample([m.resamples for m in found.splits]).median(
                aggregate(found.log2, found.censored, median), found.shift
            )
            yield {
                **value.row(),
                "label": label,
                "against": against,
                "unit": "steps" if unit == "cost" else "seconds",
                "trials": float(trials.mean()),
                "tasks": len(found.places),
                "median": value.value,
                "each": found.each if len(found.places) < FEW_TASKS else "",
            }


def _random(tuning: pd.DataFrame, label: str, baseline: str) -> Iterator[dict[str, object]]:
    ours, theirs = (tuning.loc[tuning["label"] == name] for name in (label, baseline))
    if ours.empty or len(theirs) <= 1:
        return
    enough = theirs.loc[theirs["progress"] >= ours["progress"].iloc[-1], "trials"]
    trials = float(enough.iloc[0]) / len(ours) if len(enough) else float("nan")
    tasks = int(ours["tasks"].iloc[0])
    yield {"label": label, "against": "random rates", "unit": "steps", "trials": trials,
           "tasks": tasks, "each": ""}  # fmt: skip
