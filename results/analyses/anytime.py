"""The anytime speedup: how far ahead of the tuned baseline a candidate is during its run.

At step t of the candidate it is the step at which the baseline's envelope reaches the candidate's
loss at t, divided by t. Only the end, t = N, is fair to optimizers whose schedule is tied to N.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from velodrome.results.speedup.comparison import TaskComparison
from velodrome.results.speedup.progress import makes_progress
from velodrome.results.speedup.speedup import median_ratio, ratios
from velodrome.results.speedup.stats import MAX_CENSORED, median

ANYTIME_COLUMNS = ("label", "share", "median", "quarter", "three_quarters", "tasks", "lower_bound")
"""Columns of :func:`anytime_curves`: over tasks at ``share`` of the candidate's steps.

``median``, ``quarter`` and ``three_quarters`` are speedups; ``lower_bound`` says that more than a
quarter of the tasks is right-censored there.
"""
SHARES = np.unique(np.round(np.geomspace(0.01, 1.0, 25), 4))


def anytime_rows(task: TaskComparison) -> list[dict[str, object]]:
    """Return speedups of one task at :data:`SHARES` of each candidate's run, medians over seeds.

    A row is ``{label, share, ratio, censored}``. Saturated tasks and shares before the first
    evaluation are left out.
    """
    rows: list[dict[str, object]] = []
    baseline = task.whole
    if baseline is None or task.saturated:
        return rows
    for outcome in task.outcomes:
        sweep, point = outcome.train, outcome.point
        horizon = outcome.cell.horizon
        if not outcome.speedups or sweep is None or point is None or sweep.horizon < horizon:
            continue
        losses = sweep.losses[point][sweep.present[point]]
        smooth = baseline.definition.smooth_candidate(losses)
        at = np.unique(np.round(SHARES * (len(sweep.steps) - 1)).astype(int))
        at = at[at > 0]
        curve, runs = baseline.curve(len(sweep.steps)), baseline.runs
        reached, steps = baseline.to_beat(curve, horizon), baseline.steps
        for index in at:
            targets, step = smooth[:, index], int(sweep.steps[index])
            moved = makes_progress(losses, targets, runs.noise(horizon))
            found = ratios(steps, reached, targets, moved, horizon=step)
            ratio, censored = median_ratio(found, cap=runs.cap(found, step))
            # With few evaluations, the nearest of the common shares.
            share = float(SHARES[np.abs(SHARES - step / horizon).argmin()])
            rows.append(
                {"label": outcome.cell.label, "share": share, "ratio": ratio, "censored": censored}
            )
    return rows


def anytime_curves(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Return quartiles over tasks of :func:`anytime_rows`; see :data:`ANYTIME_COLUMNS`."""
    table = pd.DataFrame(rows, columns=["label", "share", "ratio", "censored"])
    found = []
    for _, part in table.groupby(["label", "share"], sort=False):
        with np.errstate(divide="ignore"):
            log2 = np.log2(part["ratio"].to_numpy(float))
        low, high = np.quantile(log2, [0.25, 0.75], method="inverted_cdf")
        found.append(
            {
                "label": part["label"].iloc[0],
                "share": part["share"].iloc[0],
                "median": float(np.exp2(median(log2))),
                "quarter": float(np.exp2(low)),
                "three_quarters": float(np.exp2(high)),
                "tasks": len(part),
                "lower_bound": bool(part["censored"].astype(float).mean() > MAX_CENSORED),
            }
        )
    return pd.DataFrame(found, columns=list(ANYTIME_COLUMNS))
