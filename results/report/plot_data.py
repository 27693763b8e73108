"""From tidy tables to the numbers a figure shows; each is saved as CSV beside its figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from velodrome.results.analyses.reference import Reference
from velodrome.results.analyses.tuning import rate_of as _rate
from velodrome.results.speedup.comparison import TaskComparison
from velodrome.results.speedup.envelope import best_point
from velodrome.results.speedup.overtasks import Sample
from velodrome.results.speedup.taskresult import (
    Split,
    TaskResult,
    Unit,
    labels,
    measured,
    unsaturated,
)

CURVE_COLUMNS = ("index", "task", "series", "label", "rate", "seed", "step", "loss")
SORTED_COLUMNS = (
    "label", "percentile", "task", "family", "speedup", "log2_speedup", "censored", "diverged",
    "low", "high", "band_low", "band_high", "seeds",
)  # fmt: skip


def learning_curves(
    task: TaskComparison, *, points: int, reference: Reference | None = None
) -> pd.DataFrame:
    """Train losses of one task, smoothed as in the default definition.

    Returns:
      Rows of ``series`` "rate" (seed mean of one baseline rate), "envelope", "best" (the rate
      with the lowest loss at the budget) and "seed" (one candidate seed); losses from a
      divergence on are left out, "envelope" and "best" of an incomplete sweep too; and
      "published", the envelope of ``reference`` for the task's name, up to our budget. At most
      ``points`` evaluations of each, evenly chosen.
    """
    name = {"index": task.task.index, "task": task.task.label}
    parts: list[pd.DataFrame] = []

    def add(series: str, steps: np.ndarray, losses: np.ndarray, **what: Any) -> None:
        keep = np.unique(np.linspace(0, len(steps) - 1, min(points, len(steps))).astype(int))
        keep = keep[np.isfinite(losses[keep])]
        part = {**name, "series": series, "label": "", "rate": np.nan, "seed": -1, **what}
        parts.append(pd.DataFrame({**part, "step": steps[keep], "loss": losses[keep]}))

    race = task.races.get("default")
    if race is not None:
        rates = race.rates(task.evaluations)
        steps = race.baseline.steps
        who = {"label": task.baseline.label if task.baseline else ""}
        for point, curve in zip(race.baseline.points, rates, strict=True):
            add("rate", steps, curve, rate=_rate(point), **who)
        if not task.incomplete:
            best = best_point(rates)
            add("best", steps, rates[best], rate=_rate(race.baseline.points[best]), **who)
            add("envelope", steps, race.envelope(task.evaluations), **who)
        published = reference and reference.envelopes.get(str(name["task"]))
        if published:
            within = published.steps <= steps[-1]
            add("published", published.steps[within], published.losses[within], **who)
        for outcome in task.outcomes:
            if outcome.train is None or outcome.point is None:
                continue
            point = outcome.point
            smooth = race.definition.smooth_candidate(outcome.train.losses)[point]
            there = outcome.train.present[point]
            for seed, curve, present in zip(outcome.train.seeds, smooth, there, strict=True):
                if present:
                    label = outcome.cell.label
                    add("seed", outcome.train.steps, curve, seed=seed, label=label)
    if not parts:
        return pd.DataFrame(columns=list(CURVE_COLUMNS))
    return pd.concat(parts, ignore_index=True).reindex(columns=list(CURVE_COLUMNS))


def sorted_speedups(
    results: Sequence[TaskResult], *, unit: Unit = "steps", split: Split = "train"
) -> pd.DataFrame:
    """Speedups by the default definition, sorted for each optimizer.

    Saturated tasks are left out, and so are tasks without a speedup in this unit. The task of
    rank i (from 0) of n stands at percentile ``100 (i + 1/2) / n``.

    Args:
      results: of all optimizers on all tasks.
      unit: see ``velodrome.results.speedup.taskresult.UNITS``.
      split: ``"train"`` or ``"heldout"``.

    Returns:
      ``band_low`` and ``band_high`` are the 95% band of the curve at that rank, for the same tasks
      and new seeds. ``low`` and ``high`` are the interval of the task itself, NaN under 5 seeds.
    """
    parts: list[dict[str, Any]] = []
    for label in labels(results):
        known = measured(unsaturated(results, label), unit=unit, split=split)
        chosen = list(zip(known.results, known.splits, known.shift.tolist(), strict=True))
        # Among equals (all at the cap) censored ones come last: they are at least that.
        chosen.sort(key=lambda x: (x[1].ratio * 2 ** x[2], x[1].censored))
        shifts = np.array([shift for *_, shift in chosen])
        band = Sample([found.resamples for _, found, _ in chosen]).sorted_band(shifts)
        for rank, (result, found, shift) in enumerate(chosen):
            ratio = found.ratio * 2.0**shift
            low, high = found.interval()
            parts.append(
                {
                    "label": label,
                    "percentile": 100 * (rank + 0.5) / len(chosen),
                    "task": result.row["task"],
                    "family": result.row["family"],
                    "speedup": ratio,
                    "log2_speedup": float(np.log2(ratio)) if ratio > 0 else -np.inf,
                    "censored": "right" if found.censored else "no",
                    "diverged": split == "train" and bool(result.row.get("diverged_default")),
                    "low": low * 2.0**shift,
                    "high": high * 2.0**shift,
                    "band_low": float(np.exp2(band[0][rank])),
                    "band_high": float(np.exp2(band[1][rank])),
                    "seeds": found.log2_seeds.size,
                }
            )
    return pd.DataFrame(parts, columns=list(SORTED_COLUMNS))


def is_censored(summary: pd.DataFrame, label: str, task: str) -> bool:
    """Whether an optimizer's speedup on a task is a lower bound, by the default definition.

    Args:
      summary: see ``velodrome.results.analyses.summary.COLUMNS``.
      label: the optimizer.
      task: the task's label.
    """
    mine = (summary["label"] == label) & (summary["task"] == task)
    return bool((summary.loc[mine, "censored_default"] == "right").any())
