"""Two stores of one suite, run by run: what became better or worse from one to the other.

Runs of the same task, optimizer and seed start from the same weights and see the same batches, so
that they are compared in pairs. The unit is the log ratio of the last smoothed train losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import wilcoxon

from velodrome.foundation.errors import StoreError
from velodrome.results.speedup.comparison import TaskComparison, compare
from velodrome.results.speedup.definitions import DEFINITIONS
from velodrome.results.speedup.envelope import best_point
from velodrome.results.speedup.resample import multisets
from velodrome.results.speedup.stats import (
    BAND_SEEDS,
    FEW_TASKS,
    band,
    positions,
    uniforms,
    weighted_interval,
)
from velodrome.results.store.combined import check_same_question
from velodrome.results.store.curves import Sweep
from velodrome.results.store.store import Store

TOLERANCE = 0.01
"""Changes of a loss by less than this share are no change."""
WORSE = ("worse", "diverges", "diverges more", "fails")
"""Verdicts that say that B is worse; "fails": planned in both, with runs in A and none in B."""
TASK_COLUMNS = (
    "index", "task", "family", "optimizer", "label", "seeds", "loss_a", "loss_b", "change", "low",
    "high", "speedup_a", "speedup_b", "step_time_a", "step_time_b", "verdict",
)  # fmt: skip
"""``change`` is B's loss over A's (geometric mean over common seeds), ``low`` and ``high`` its 95%
interval; ``step_time`` is seconds per step over the baseline's. ``verdict`` is one of "equal",
"same", "better", "only B" (has runs in B alone), "not run" (in neither), "no common seed", and
:data:`WORSE`."""
TOTAL_COLUMNS = (
    "label", "tasks", "change", "low", "high", "low_new_tasks", "high_new_tasks", "p", "p_holm",
    "better", "worse", "same", "fails",
)  # fmt: skip
"""``tasks`` have runs in both; on ``fails`` others B has none.

``change`` is the median over tasks of the tasks' changes; ``low`` and ``high`` are its 95% interval
for the same tasks and new seeds, ``*_new_tasks`` for new tasks too; one seed has no interval, nor
have fewer than five tasks. ``p`` is from Wilcoxon's signed-rank test over tasks, ``p_holm`` is
after Holm's correction for the number of optimizers.
"""
_NAN = float("nan")


@dataclass(frozen=True)
class _Runs:
    """Last losses of one optimizer on one task in one store, by seed; +inf if diverged."""

    label: str
    losses: Mapping[int, float]
    speedup: float
    step_time: float


@dataclass(frozen=True)
class Change:
    """One optimizer on one task in both stores.

    Attributes:
      logs: ln(B / A) of the losses of the common seeds.
      low: Lower end of the 95% interval of B over A, NaN with few seeds.
      high: Its upper end.
    """

    label: str
    verdict: str
    logs: Float[np.ndarray, " seed"]
    low: float = _NAN
    high: float = _NAN


def compare_stores(first: Store, second: Store) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare every optimizer that both stores have planned, the baseline too, on every task.

    Candidates are compared by their own losses, so that they need no baseline.

    Returns:
      A row per task and optimizer (:data:`TASK_COLUMNS`), and a row per optimizer
      (:data:`TOTAL_COLUMNS`).

    Raises:
      StoreError: The stores are not of the same tasks and protocol, or share no optimizer.
    """
    check_same_question(first, second)
    rows: list[dict[str, object]] = []
    found: dict[str, list[Change]] = {}
    for ours, theirs in zip(compare(first), compare(second), strict=True):
        before, after = dict(_runs(ours)), dict(_runs(theirs))
        for name, a in before.items():
            if name not in after:
                continue
            b = after[name]
            change = _change(a, b)
            rows.append({**ours.about, "optimizer": name, **_row(a, b, change)})
            if len(change.logs) or change.verdict == "fails":
                found.setdefault(name, []).append(change)
    if not rows:
        names = [", ".join(sorted(_names(store))) for store in (first, second)]
        raise StoreError(
            f"{first.directory} has {names[0]}, {second.directory} has {names[1]}: there is "
            "nothing to compare; put them into one report instead "
            f"(velodrome report {first.directory} {second.directory} --out DIR)"
        )
    tasks = pd.DataFrame(rows, columns=list(TASK_COLUMNS))
    return tasks, with_holm([total(changes) for changes in found.values()])


def only_in(store: Store, other: Store) -> tuple[str, ...]:
    """Return names of the optimizers that a store has planned and the other has not."""
    return tuple(sorted(_names(store) - _names(other)))


def _names(store: Store) -> set[str]:
    return {cell.name for cell in store.cells()}


def _runs(task: TaskComparison) -> Iterator[tuple[str, _Runs]]:
    if task.baseline is not None:
        losses = {}
        if task.envelopes:
            sweep = task.envelopes["default"].sweep
            losses = _last(sweep, best_point(sweep.seed_mean()))
        yield task.baseline.name, _Runs(f"{task.baseline.label}, best rate", losses, 1.0, 1.0)
    for outcome in task.outcomes:
        losses = {}
        if outcome.train is not None and outcome.point is not None:
            losses = _last(outcome.train, outcome.point)
        found, step_time = outcome.speedups.get("default"), outcome.step_time_ratio
        yield (
            outcome.cell.name,
            _Runs(
                outcome.cell.label,
                losses,
                found.ratio if found else _NAN,
                _NAN if step_time is None else step_time,
            ),
        )


def _last(sweep: Sweep, point: int) -> dict[int, float]:
    last = DEFINITIONS["default"].smooth_candidate(sweep.losses[point])[:, -1]
    there = zip(sweep.seeds, last, sweep.present[point], strict=True)
    return {seed: float(loss) for seed, loss, present in there if present}


def _change(a: _Runs, b: _Runs) -> Change:
    common = sorted(a.losses.keys() & b.losses.keys())
    logs = log_ratios([a.losses[s] for s in common], [b.losses[s] for s in common])
    low = high = _NAN
    if len(logs) >= BAND_SEEDS:
        low, high = (float(np.exp(end)) for end in weighted_interval(*_resampled(logs)))
    # Only runs know the weights that were used, so a side without runs has no say in the label.
    labels = [side.label for side in (a, b) if side.losses] or [a.label]
    verdict = _verdict(a, b, logs, low, high)
    return Change(" / ".join(dict.fromkeys(labels)), verdict, logs, low, high)


def _row(a: _Runs, b: _Runs, change: Change) -> dict[str, object]:
    return {
        "label": change.label,
        "seeds": len(change.logs),
        "loss_a": _median(a.losses),
        "loss_b": _median(b.losses),
        "change": float(np.exp(_mean(change.logs))) if len(change.logs) else _NAN,
        "low": change.low,
        "high": change.high,
        "speedup_a": a.speedup,
        "speedup_b": b.speedup,
        "step_time_a": a.step_time,
        "step_time_b": b.step_time,
        "verdict": change.verdict,
    }


def log_ratios(a: Sequence[float], b: Sequence[float]) -> Float[np.ndarray, " seed"]:
    """Return ln(b / a) of losses in pairs: 0 if both diverged, +inf if only ``b`` did.

    Losses of 0 and below, which have no ratio, count as the smallest positive number.
    """
    tiny = np.finfo(float).tiny
    ours, theirs = (np.log(np.maximum(np.asarray(x, dtype=np.float64), tiny)) for x in (a, b))
    both = np.isposinf(ours) & np.isposinf(theirs)
    return np.where(both, 0.0, theirs) - np.where(both, 0.0, ours)


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
    if worse and _mean(logs) > limit:
        return "diverges" if np.isposinf(logs).any() else "worse"
    if better and _mean(logs) < -limit:
        return "better"
    return "diverges more" if np.isposinf(logs).any() and not np.isneginf(logs).any() else "same"


def _median(losses: Mapping[int, float]) -> float:
    return float(np.median(list(losses.values()))) if losses else _NAN


def total(changes: Sequence[Change]) -> dict[str, Any]:
    """Return a row of :data:`TOTAL_COLUMNS` from one optimizer's changes, a task each."""
    known = [change for change in changes if len(change.logs)]
    row: dict[str, Any] = dict.fromkeys(TOTAL_COLUMNS, _NAN)
    # Where B has no runs its label is not known for certain.
    row["label"] = (known or changes)[0].label
    row |= {"tasks": len(known), "fails": len(changes) - len(known)}
    if known:
        middles = np.array([_mean(change.logs) for change in known])
        tables = [_resampled(change.logs) for change in known]
        row |= {"change": float(np.exp(_middle(middles[:, None])[0])), "p": _wilcoxon(middles)}
        if max(len(change.logs) for change in known) > 1:
            row["low"], row["high"] = median_interval(tables, new_tasks=False)
        if len(known) >= FEW_TASKS:
            row["low_new_tasks"], row["high_new_tasks"] = median_interval(tables, new_tasks=True)
    better = sum(change.verdict == "better" for change in known)
    worse = sum(change.verdict in WORSE for change in known)
    return row | {"better": better, "worse": worse, "same": len(known) - better - worse}


def median_interval(
    tables: Sequence[tuple[np.ndarray, np.ndarray]], *, new_tasks: bool
) -> tuple[float, float]:
    """Return the central 95% of the median over tasks, as a ratio.

    ``tables`` have for each task the means of its draws of seeds, and their probabilities. With
    ``new_tasks`` tasks are drawn too; if one is drawn twice, its seeds are drawn twice.
    """
    which, uniform = uniforms(len(tables), new_tasks=new_tasks)
    drawn = np.empty(which.shape)
    for task, (values, probability) in enumerate(tables):
        here = which == task
        drawn[here] = values[positions(probability, uniform[here])]
    low, high = np.exp(band(_middle(drawn.T)))
    return float(low), float(high)


def _wilcoxon(logs: np.ndarray) -> float:
    """Return the two-sided p; infinities rank above everything. 1 without any change."""
    if not np.any(logs):
        return 1.0
    largest = np.abs(logs[np.isfinite(logs)]).max(initial=1.0)
    _, p = cast("tuple[float, float]", wilcoxon(np.clip(logs, -2 * largest, 2 * largest)))
    return float(p)


def with_holm(totals: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Add p-values after Holm's step-down correction (Holm 1979) where there is a p-value."""
    table = pd.DataFrame(totals, columns=list(TOTAL_COLUMNS))
    p = table["p"].to_numpy(float)
    order = np.argsort(p, kind="stable")[: np.count_nonzero(~np.isnan(p))]  # NaN comes last
    steps = np.minimum(1.0, p[order] * np.arange(len(order), 0, -1))
    corrected = np.full(len(p), np.nan)
    corrected[order] = np.maximum.accumulate(steps)
    return table.assign(p_holm=corrected)


def _resampled(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means of all distinct draws of the seeds with replacement, and probabilities."""
    draws, weights = multisets(len(logs))
    return np.array([_mean(logs[draw]) for draw in draws]), weights


def _mean(logs: np.ndarray) -> float:
    """Return the mean; 0 with infinities of both signs, which say nothing."""
    if np.isposinf(logs).any() and np.isneginf(logs).any():
        return 0.0
    return float(logs.mean())


def _middle(logs: np.ndarray) -> np.ndarray:
    """Return the median over the first axis; of two in the middle the one nearer to no change.

    Two finite ones are averaged.
    """
    ordered = np.sort(logs, axis=0)
    low, high = ordered[(len(logs) - 1) // 2], ordered[len(logs) // 2]
    finite = np.isfinite(low) & np.isfinite(high)
    nearer = np.where(np.abs(low) < np.abs(high), low, high)
    return np.where(finite, 0.5 * (np.where(finite, low, 0) + np.where(finite, high, 0)), nearer)
