"""What aggregates over tasks need of each candidate on a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from velodrome.results.analyses.tuning import near_points
from velodrome.results.speedup.comparison import TaskComparison
from velodrome.results.speedup.envelope import best_point
from velodrome.results.speedup.outcome import Outcome
from velodrome.results.speedup.resample import SeedResamples
from velodrome.results.speedup.speedup import Speedup
from velodrome.results.speedup.taskresult import Split, SplitResult, TaskResult


def task_results(task: TaskComparison, rows: Sequence[Mapping[str, object]]) -> list[TaskResult]:
    """Return the result of each candidate on a task.

    Args:
      rows: Of the summary, one for each outcome of the task.
    """
    results = []
    for outcome, row in zip(task.outcomes, rows, strict=True):
        splits: dict[Split, SplitResult] = {}
        found, heldout = outcome.speedups.get("default"), outcome.heldout_speedup
        if found is not None and outcome.resamples is not None:
            splits["train"] = _split(found, outcome.resamples)
        if heldout is not None and outcome.heldout_resamples is not None:
            splits["heldout"] = _split(heldout, outcome.heldout_resamples)
        results.append(TaskResult(row, splits, *_trials(task, outcome)))
    return results


def _split(found: Speedup, resamples: SeedResamples) -> SplitResult:
    with np.errstate(divide="ignore"):
        cap = min(resamples.cap_log2, float(np.log2(found.cap)))
        seeds = np.minimum(np.log2(found.per_seed), cap)
    resamples = replace(resamples, cap_log2=cap)
    return SplitResult(found.ratio, found.censored == "right", seeds, resamples)


def _trials(task: TaskComparison, outcome: Outcome) -> tuple[float, float]:
    """Return trials of the baseline's sweep for each of the candidate's: all, and near the best."""
    if task.whole is None or outcome.train is None:
        return 1.0, 1.0
    sweep, own = task.whole.sweep, len(outcome.train.points)
    until = int(np.searchsorted(sweep.steps, outcome.cell.horizon, side="right"))
    best = best_point(task.whole.rates(len(outcome.train.steps))[:, :until])
    return len(sweep.points) / own, near_points(sweep.points, best) / own
