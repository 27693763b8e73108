"""Two stores of one suite, run by run: what became better or worse from one to the other.

Runs of the same task, optimizer and seed start from the same weights and see the same batches, so
that they are compared in pairs. The unit is the log ratio of the last smoothed train losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from velodrome.foundation.errors import StoreError
from velodrome.results.analyses.diff_totals import mean, resampled, total, with_holm
from velodrome.results.speedup.comparison import TaskComparison, compare
from velodrome.results.speedup.definitions import DEFINITIONS
from velodrome.results.speedup.envelope import best_point
from velodrome.results.speedup.stats import BAND_SEEDS, weighted_interval
from velodrome.results.store.combined import check_same_question
from velodrome.results.store.curves import Sweep
from velodrome.results.store.store import Store

TOLERANCE = 0.01
"""Changes of a loss by less than this share are no change."""

TASK_COLUMNS = (
    "index", "task", "family", "optimizer", "label", "seeds", "loss_a", "loss_b", "change", "low",
    "high", "speedup_a", "speedup_b", "step_time_a", "step_time_b", "verdict",
)  # fmt: skip
"""``change`` is B's loss over A's (geometric mean over common seeds), ``low`` and ``high`` its 95%
interval; ``step_time`` is seconds per step over the baseline's. ``verdict`` is one of "equal",
"same", "better", "only B" (has runs in B alone), "not run" (in neither), "no common seed", and
:data:`velodrome.results.analyses.diff_totals.WORSE`."""


@dataclass(frozen=True)
class _Runs:
    """Last losses of one optimizer on one task in one store, by seed; +inf if diverged."""

    label: str
    losses: dict[int, float]
    speedup: float
    step_time: float


def compare_stores(first: Store, second: Store) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compares every optimizer that both stores have planned, the baseline too, on every task.

    Candidates are compared by their own losses, so that they need no baseline.

    Returns:
      A row per task and optimizer (:data:`TASK_COLUMNS`), and a row per optimizer
      (:data:`velodrome.results.analyses.diff_totals.TOTAL_COLUMNS`).

    Raises:
      StoreError: the stores are not of the same tasks and protocol, or share no optimizer.
    """
    check_same_question(first, second)
    rows: list[dict] = []
    found: dict[str, list[tuple[dict, np.ndarray]]] = {}
    for ours, theirs in zip(compare(first), compare(second), strict=True):
        sides = [dict(_runs(task)) for task in (ours, theirs)]
        for name in [name for name in sides[0] if name in sides[1]]:
            row, logs = _row(ours, name, sides[0][name], sides[1][name])
            rows.append(row)
            if len(logs) or row["verdict"] == "fails":
                found.setdefault(name, []).append((row, logs))
    if not rows:
        names = [sorted(_names(store)) for store in (first, second)]
        raise StoreError(
            f"{first.directory} has {', '.join(names[0])}, {second.directory} has "
            f"{', '.join(names[1])}: there is nothing to compare; put them into one report instead "
            f"(velodrome report {first.directory} {second.directory} --out DIR)"
        )
    tasks = pd.DataFrame(rows, columns=list(TASK_COLUMNS))
    return tasks, with_holm([total(mine) for mine in found.values()])


def only_in(store: Store, other: Store) -> tuple[str, ...]:
    """Names of the optimizers that a store has planned and the other has not."""
    return tuple(sorted(_names(store) - _names(other)))


def _names(store: Store) -> set[str]:
    return {cell.name for cell in store.cells()}


def _runs(task: TaskComparison) -> Iterator[tuple[str, _Runs]]:
    """What is compared of one task, by the optimizer's name."""
    definition = DEFINITIONS["default"]
    if task.baseline is not None:
        losses = {}
        if task.races:
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
        low, high = np.exp(weighted_interval(*resampled(logs)))
    row = {
        "index": task.task.index,
        "task": task.task.label,
        "family": task.task.family,
        "optimizer": name,
        "label": _label(a, b),
        "seeds": len(common),
        "loss_a": _median(a.losses),
        "loss_b": _median(b.losses),
        "change": float(np.exp(mean(logs))) if len(logs) else float("nan"),
        "low": low,
        "high": high,
        "speedup_a": a.speedup,
        "speedup_b": b.speedup,
        "step_time_a": a.step_time,
        "step_time_b": b.step_time,
        "verdict": _verdict(a, b, logs, low, high),
    }
    return row, logs


def _label(a: _Runs, b: _Runs) -> str:
    """The optimizer's; only runs know the weights that were used, so one without has no say."""
    labels = [side.label for side in (a, b) if side.losses] or [a.label]
    return " / ".join(dict.fromkeys(labels))


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
        return "not run" if not a.losses and not b.losses else "fails" if a.losses else "only B"
    if not len(logs):
        return "no common seed"
    if (logs == 0).all():
        return "equal"
    limit = np.log1p(TOLERANCE)
    # Every seed must agree; with enough of them the interval has to, too.
    worse = (logs > 0).all() and not low <= 1
    better = (logs < 0).all() and not high >= 1
    if worse and mean(logs) > limit:
        return "diverges" if np.isposinf(logs).any() else "worse"
    if better and mean(logs) < -limit:
        return "better"
    return "diverges more" if np.isposinf(logs).any() and not np.isneginf(logs).any() else "same"


def _median(losses: dict[int, float]) -> float:
    return float(np.median(list(losses.values()))) if losses else float("nan")
