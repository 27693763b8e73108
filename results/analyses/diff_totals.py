"""Two stores of one suite: what changed over all tasks, an optimizer a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from velodrome.results.speedup.resample import multisets
from velodrome.results.speedup.stats import band, positions, uniforms

WORSE = ("worse", "diverges", "diverges more", "fails")
"""Verdicts that say that B is worse; "fails": planned in both, with runs in A and none in B."""

TOTAL_COLUMNS = (
    "label", "tasks", "change", "low", "high", "low_new_tasks", "high_new_tasks", "p", "p_holm",
    "better", "worse", "same", "fails",
)  # fmt: skip
"""``tasks`` have runs in both; on ``fails`` others B has none.

``change`` is the median over tasks of the tasks' changes; ``low`` and ``high`` are its 95% interval
for the same tasks and new seeds, ``*_new_tasks`` for new tasks too; none of one seed, or of one
task. ``p`` is that of Wilcoxon's signed-rank test over tasks, ``p_holm`` after Holm's correction
for the number of optimizers.
"""


def total(found: Sequence[tuple[dict, np.ndarray]]) -> dict:
    """A row of :data:`TOTAL_COLUMNS`.

    Args:
      found: of each task the optimizer's row of ``velodrome.results.analyses.diff.TASK_COLUMNS`` and the log
        ratios of its seeds, none where B has no runs.
    """
    pairs = [(task, logs) for task, logs in found if len(logs)]
    row: dict[str, object] = {name: float("nan") for name in TOTAL_COLUMNS}
    # Where B has no runs its label is not known for certain.
    row["label"] = next(task["label"] for task, _ in pairs or found)
    row |= {"tasks": len(pairs), "fails": len(found) - len(pairs)}
    if pairs:
        middles = np.array([mean(logs) for _, logs in pairs])
        tables = [resampled(logs) for _, logs in pairs]
        row |= {"change": float(np.exp(_middle(middles[:, None])[0])), "p": _wilcoxon(middles)}
        if max(len(logs) for _, logs in pairs) > 1:
            row["low"], row["high"] = median_interval(tables, new_tasks=False)
        if len(pairs) > 1:
            row["low_new_tasks"], row["high_new_tasks"] = median_interval(tables, new_tasks=True)
    verdicts = [task["verdict"] for task, _ in pairs]
    better, worse = verdicts.count("better"), sum(verdict in WORSE for verdict in verdicts)
    return row | {"better": better, "worse": worse, "same": len(pairs) - better - worse}


def median_interval(
    tables: Sequence[tuple[np.ndarray, np.ndarray]], *, new_tasks: bool
) -> tuple[float, float]:
    """The central 95% of the median over tasks, as a ratio.

    Args:
      tables: of each task the means of its draws of seeds, and their probabilities.
      new_tasks: draw tasks too; of one that is drawn twice the seeds are drawn twice.
    """
    which, uniform = uniforms(len(tables), new_tasks=new_tasks)
    drawn = np.empty(which.shape)
    for task, (values, probability) in enumerate(tables):
        here = which == task
        drawn[here] = values[positions(probability, uniform[here])]
    low, high = np.exp(band(_middle(drawn.T)))
    return float(low), float(high)


def _wilcoxon(logs: np.ndarray) -> float:
    """Two-sided p; infinities rank as what is larger than everything. 1 without any change."""
    if not np.any(logs):
        return 1.0
    largest = np.abs(logs[np.isfinite(logs)]).max(initial=1.0)
    found: Any = wilcoxon(np.clip(logs, -2 * largest, 2 * largest))
    return float(found.pvalue)


def with_holm(totals: list[dict]) -> pd.DataFrame:
    """Adds p-values after Holm's step-down correction (Holm 1979) where there is a p-value."""
    last = 0.0
    tested = [total for total in totals if not np.isnan(total["p"])]
    for rank, total in enumerate(sorted(tested, key=lambda t: t["p"])):
        last = max(last, min(1.0, (len(tested) - rank) * total["p"]))
        total["p_holm"] = last
    return pd.DataFrame(totals, columns=list(TOTAL_COLUMNS))


def resampled(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of all distinct draws of the seeds with replacement, and their probabilities."""
    draws, weights = multisets(len(logs))
    return np.array([mean(logs[draw]) for draw in draws]), weights


def mean(logs: np.ndarray) -> float:
    """Mean; with infinities of both signs 0: nothing can be said."""
    if np.isposinf(logs).any() and np.isneginf(logs).any():
        return 0.0
    return float(logs.mean())


def _middle(logs: np.ndarray) -> np.ndarray:
    """Median over the first axis; of the two in the middle the one nearer to no change."""
    ordered = np.sort(logs, axis=0)
    low, high = ordered[(len(logs) - 1) // 2], ordered[len(logs) // 2]
    finite = np.isfinite(low) & np.isfinite(high)
    nearer = np.where(np.abs(low) < np.abs(high), low, high)
    return np.where(finite, 0.5 * (np.where(finite, low, 0) + np.where(finite, high, 0)), nearer)
