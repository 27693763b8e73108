"""The speedup that the first k trials of an ordered list reach, for each k.

The list is tried from its beginning, as it was made to be; the best of the first k trials by its
seed-mean last loss is compared with the baseline's whole sweep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from velodrome.results.speedup.comparison import TaskComparison
from velodrome.results.speedup.speedup import Speedup, final_losses
from velodrome.results.speedup.stats import MAX_CENSORED, median
from velodrome.results.store.curves import Sweep, seed_mean

BUDGET_COLUMNS = ("label", "trials", "median", "quarter", "three_quarters", "tasks", "lower_bound")
"""Columns of :func:`budget_curves`: speedups over tasks of the best of the first ``trials``.

Numbers of trials at which no task's best one changes are left out, but for the last one.
``lower_bound`` says that more than a quarter of the tasks is right-censored there.
"""


def budget_rows(task: TaskComparison) -> list[dict[str, object]]:
    """Return the speedup on one task after each number of trials, of each ordered list.

    A row is ``{label, trials, ratio, censored}``. Saturated tasks are left out.
    """
    rows: list[dict[str, object]] = []
    baseline = task.whole
    if baseline is None or task.saturated:
        return rows
    for outcome in task.outcomes:
        sweep, horizon = outcome.train, outcome.cell.horizon
        if not outcome.speedups or sweep is None or not sweep.in_order or sweep.horizon < horizon:
            continue
        targets = final_losses(sweep, baseline.definition, horizon=horizon)
        losses = seed_mean(targets[:, :, None], sweep.present)[:, 0]
        best = [int(np.argmin(losses[: count + 1])) for count in range(len(losses))]
        known: dict[int, Speedup] = {}
        for count, point in enumerate(best, start=1):
            if point not in known:
                known[point] = baseline.speedup_of(_alone(sweep, point), horizon=horizon)
            found = known[point]
            rows.append(
                {
                    "label": outcome.cell.label, "trials": count, "ratio": found.ratio,
                    "censored": found.censored == "right",
                }
            )  # fmt: skip
    return rows


def _alone(sweep: Sweep, point: int) -> Sweep:
    only = slice(point, point + 1)
    return replace(
        sweep,
        losses=sweep.losses[only],
        points=sweep.points[only],
        present=sweep.present[only],
        ends=sweep.ends[only],
    )


def budget_curves(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Return quartiles over tasks of :func:`budget_rows`; see :data:`BUDGET_COLUMNS`."""
    table = pd.DataFrame(rows, columns=["label", "trials", "ratio", "censored"])
    found: list[dict[str, object]] = []
    for label, mine in table.groupby("label", sort=False):
        last, before = max(mine["trials"]), None
        for count, part in mine.groupby("trials"):
            ratios = part["ratio"].to_numpy(float)
            if before is not None and np.array_equal(ratios, before) and count != last:
                continue
            before = ratios
            with np.errstate(divide="ignore"):
                log2 = np.log2(ratios)
            low, high = np.quantile(log2, [0.25, 0.75], method="inverted_cdf")
            found.append(
                {
                    "label": label,
                    "trials": count,
                    "median": float(np.exp2(median(log2))),
                    "quarter": float(np.exp2(low)),
                    "three_quarters": float(np.exp2(high)),
                    "tasks": len(part),
                    "lower_bound": bool(part["censored"].astype(float).mean() > MAX_CENSORED),
                }
            )
    return pd.DataFrame(found, columns=list(BUDGET_COLUMNS))
