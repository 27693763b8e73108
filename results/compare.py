"""Two stores of one suite, run by run: what became better or worse from one to the other.

Runs of the same task, optimizer and seed start from the same weights and see the same batches, so
that they are compared in pairs. The unit is the log ratio of the last smoothed train losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import wilcoxon

from foundation.errors import StoreError
from results.combined import check_same_question
from results.comparison import TaskComparison, compare
from results.curves import Sweep
from results.definitions import DEFINITIONS
from results.envelope import best_point
from results.resample import multisets
from results.stats import BAND_SEEDS, REPETITIONS, band, weighted_interval
from results.store import Store

TOLERANCE = 0.01
"""Changes of a loss by less than this share are no change."""

TASK_COLUMNS = (
    "index", "task", "family", "optimizer", "label", "seeds", "loss_a", "loss_b", "change", "low",
    "high", "speedup_a", "speedup_b", "step_time_a", "step_time_b", "verdict",
)  # fmt: skip
"""``change`` is B's loss over A's (geometric mean over common seeds), ``low`` and ``high`` its 95%
interval; ``step_time`` is seconds per step over the baseline's."""

TOTAL_COLUMNS = (
    "label", "tasks", "change", "low", "high", "low_new_tasks", "high_new_tasks", "p", "p_holm",
    "better", "worse", "same",
)  # fmt: skip
"""``change`` is the median over tasks of the tasks' changes; ``p`` of Wilcoxon's signed-rank test
over tasks, ``p_holm`` after Holm's correction for the number of optimizers."""


@dataclass(frozen=True)
class _Runs:
    """Last losses of one optimizer on one task in one store, by seed; +inf if diverged."""

    label: str
    losses: dict[int, float]
    speedup: float
    step_time: float


def compare_stores(first: Store, second: Store) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compares every optimizer that both stores have, the baseline too, on every task.

    Returns:
      A row per task and optimizer (:data:`TASK_COLUMNS`), and a row per optimizer
      (:data:`TOTAL_COLUMNS`).

    Raises:
      StoreError: the stores are not of the same tasks and protocol, or share no optimizer.
    """
    check_same_question(first, second)
    rows, pairs = [], {}
    for ours, theirs in zip(compare(first), compare(second), strict=True):
        sides = [dict(_runs(task)) for task in (ours, theirs)]
        for name in [name for name in sides[0] if name in sides[1]]:
            row, logs = _row(ours, name, sides[0][name], sides[1][name])
            rows.append(row)
            if len(logs):
                pairs.setdefault(row["label"], []).append((row, logs))
    if not rows:
        names = [sorted({cell.name for cell in store.cells()}) for store in (first, second)]
        raise StoreError(
            f"{first.directory} has {', '.join(names[0])}, {second.directory} has "
            f"{', '.join(names[1])}: there is nothing to compare; put them into one report instead "
            f"(velodrome report {first.directory} {second.directory} --out DIR)"
        )
    tasks = pd.DataFrame(rows, columns=list(TASK_COLUMNS))
    return tasks, _with_holm([_total(label, found) for label, found in pairs.items()])


def _runs(task: TaskComparison) -> Iterator[tuple[str, _Runs]]:
    """What is compared of one task, by the optimizer's name."""
    definition = DEFINITIONS["default"]
    if task.baseline is not None and task.races:
        sweep = task.races["default"].baseline
        point = best_point(sweep.seed_mean())
        losses = _last(sweep, point, definition.smooth_candidate(sweep.losses[point]))
        yield task.baseline.name, _Runs(f"{task.baseline.label}, best rate", losses, 1.0, 1.0)
    for outcome in task.outcomes:
        nothing = float("nan")
        found = outcome.speedups.get("default")
        losses = {}
        if outcome.train is not None and outcome.point is not None:
            smooth = definition.smooth_candidate(outcome.train.losses[outcome.point])
            losses = _last(outcome.train, outcome.point, smooth)
        yield (
            outcome.cell.name,
            _Runs(
                outcome.cell.label,
                losses,
                found.ratio if found else nothing,
                nothing if outcome.step_time_ratio is None else outcome.step_time_ratio,
            ),
        )


def _last(sweep: Sweep, point: int, smooth: np.ndarray) -> dict[int, float]:
    present = sweep.present[point]
    return {
        seed: float(curve[-1])
        for seed, curve, there in zip(sweep.seeds, smooth, present, strict=True)
        if there
    }


def _row(task: TaskComparison, name: str, a: _Runs, b: _Runs) -> tuple[dict, np.ndarray]:
    common = sorted(a.losses.keys() & b.losses.keys())
    logs = log_ratios([a.losses[s] for s in common], [b.losses[s] for s in common])
    low = high = float("nan")
    if len(logs) >= BAND_SEEDS:
        low, high = np.exp(weighted_interval(*_resampled(logs)))
    row = {
        "index": task.task.get("index"),
        "task": task.task.get("label"),
        "family": task.task.get("family"),
        "optimizer": name,
        "label": a.label if a.label == b.label else f"{a.label} / {b.label}",
        "seeds": len(common),
        "loss_a": _median(a.losses),
        "loss_b": _median(b.losses),
        "change": float(np.exp(_mean(logs))) if len(logs) else float("nan"),
        "low": low,
        "high": high,
        "speedup_a": a.speedup,
        "speedup_b": b.speedup,
        "step_time_a": a.step_time,
        "step_time_b": b.step_time,
        "verdict": _verdict(a, b, logs, low, high),
    }
    return row, logs


def log_ratios(a: Sequence[float], b: Sequence[float]) -> Float[np.ndarray, " seed"]:
    """ln(b / a) of losses in pairs: 0 if both diverged, +inf if only ``b`` did.

    Losses of 0 and below, which have no ratio, count as the smallest positive number.
    """
    tiny = np.finfo(float).tiny
    ours, theirs = (np.log(np.maximum(np.asarray(x, dtype=np.float64), tiny)) for x in (a, b))
    both = np.isposinf(ours) & np.isposinf(theirs)
    return np.where(both, 0.0, np.where(both, 0.0, theirs) - np.where(both, 0.0, ours))


def _verdict(a: _Runs, b: _Runs, logs: np.ndarray, low: float, high: float) -> str:
    if not a.losses or not b.losses:
        return "not run" if not a.losses and not b.losses else "only A" if a.losses else "only B"
    if not len(logs):
        return "no common seed"
    if (logs == 0).all():
        return "equal"
    limit = np.log1p(TOLERANCE)
    # Every seed must agree; with enough of them the interval has to, too.
    worse = (logs > 0).all() and not low <= 1
    better = (logs < 0).all() and not high >= 1
    if worse and _mean(logs) > limit:
        return "diverges" if np.isposinf(logs).any() else "worse"
    if better and _mean(logs) < -limit:
        return "better"
    return "diverges more" if np.isposinf(logs).any() and not np.isneginf(logs).any() else "same"


def _total(label: str, found: Sequence[tuple[dict, np.ndarray]]) -> dict:
    """The median over tasks, with both intervals: same tasks and new seeds; and new tasks too."""
    middles = np.array([_mean(logs) for _, logs in found])
    rng = np.random.default_rng(0)
    draws = np.stack(
        [
            values[rng.choice(len(values), REPETITIONS, p=weights)]
            for values, weights in (_resampled(logs) for _, logs in found)
        ]
    )
    chosen = rng.integers(0, len(found), (len(found), REPETITIONS))
    same = np.exp(band(_middle(draws)))
    new = np.exp(band(_middle(np.take_along_axis(draws, chosen, axis=0))))
    verdicts = [row["verdict"] for row, _ in found]
    better = verdicts.count("better")
    worse = sum(verdict in ("worse", "diverges", "diverges more") for verdict in verdicts)
    return {
        "label": label,
        "tasks": len(found),
        "change": float(np.exp(_middle(middles[:, None])[0])),
        "low": same[0],
        "high": same[1],
        "low_new_tasks": new[0],
        "high_new_tasks": new[1],
        "p": _wilcoxon(middles),
        "better": better,
        "worse": worse,
        "same": len(found) - better - worse,
    }


def _wilcoxon(logs: np.ndarray) -> float:
    """Two-sided p; infinities rank as what is larger than everything. 1 without any change."""
    if not np.any(logs):
        return 1.0
    largest = np.abs(logs[np.isfinite(logs)]).max(initial=1.0)
    found: Any = wilcoxon(np.clip(logs, -2 * largest, 2 * largest))
    return float(found.pvalue)


def _with_holm(totals: list[dict]) -> pd.DataFrame:
    """Adds p-values after Holm's step-down correction (Holm 1979)."""
    last = 0.0
    for rank, total in enumerate(sorted(totals, key=lambda t: t["p"])):
        last = max(last, min(1.0, (len(totals) - rank) * total["p"]))
        total["p_holm"] = last
    return pd.DataFrame(totals, columns=list(TOTAL_COLUMNS))


def _resampled(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of all distinct draws of the seeds with replacement, and their probabilities."""
    draws, weights = multisets(len(logs))
    return np.array([_mean(logs[draw]) for draw in draws]), weights


def _mean(logs: np.ndarray) -> float:
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


def _median(losses: dict[int, float]) -> float:
    return float(np.median(list(losses.values()))) if losses else float("nan")
