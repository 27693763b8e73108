"""From tidy tables to the numbers a figure shows; each is saved as CSV beside its figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from results.comparison import TaskComparison
from results.envelope import best_point
from results.reference import Reference
from results.tuning import rate_of as _rate

CURVE_COLUMNS = ("index", "task", "series", "label", "rate", "seed", "step", "loss")
SORTED_COLUMNS = (
    "label", "percentile", "task", "family", "speedup", "log2_speedup", "censored", "diverged",
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
    name = {"index": task.task.get("index"), "task": task.task.get("label")}
    parts: list[pd.DataFrame] = []

    def add(series: str, steps: np.ndarray, losses: np.ndarray, **what: Any) -> None:
        keep = np.unique(np.linspace(0, len(steps) - 1, min(points, len(steps))).astype(int))
        keep = keep[np.isfinite(losses[keep])]
        part = {**name, "series": series, "label": "", "rate": np.nan, "seed": -1, **what}
        parts.append(pd.DataFrame({**part, "step": steps[keep], "loss": losses[keep]}))

    race = task.races.get("default")
    if race is not None:
        lengths = [len(o.train.steps) for o in task.outcomes if o.train is not None]
        evaluations = min(lengths, default=len(race.baseline.steps))
        rates = race.rates(evaluations)
        steps = race.baseline.steps
        who = {"label": task.baseline.label if task.baseline else ""}
        for point, curve in zip(race.baseline.points, rates, strict=True):
            add("rate", steps, curve, rate=_rate(point), **who)
        if not task.incomplete:
            best = best_point(rates)
            add("best", steps, rates[best], rate=_rate(race.baseline.points[best]), **who)
            add("envelope", steps, race.envelope(evaluations), **who)
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


def sorted_speedups(summary: pd.DataFrame, *, unit: str = "steps") -> pd.DataFrame:
    """Speedups by the default definition, sorted for each optimizer.

    Saturated tasks are left out, and so are tasks without a speedup in this unit. The task of
    rank i (from 0) of n stands at percentile ``100 (i + 1/2) / n``.

    Args:
      summary: see ``results.summary.COLUMNS``.
      unit: ``"steps"`` or ``"seconds"``.
    """
    parts: list[dict[str, Any]] = []
    for label in dict.fromkeys(summary["label"]):
        chosen = summary.loc[(summary["label"] == label) & ~summary["saturated"].astype(bool)]
        rows = [r for r in chosen.to_dict("records") if np.isfinite(r[f"speedup_{unit}_default"])]
        # Among equals (all at the cap) censored ones come last: they are at least that.
        rows.sort(key=lambda r: (r[f"speedup_{unit}_default"], r["censored_default"] == "right"))
        for rank, row in enumerate(rows):
            ratio = float(row[f"speedup_{unit}_default"])
            parts.append(
                {
                    "label": label,
                    "percentile": 100 * (rank + 0.5) / len(rows),
                    "task": row["task"],
                    "family": row["family"],
                    "speedup": ratio,
                    "log2_speedup": float(np.log2(ratio)) if ratio > 0 else -np.inf,
                    "censored": row["censored_default"],
                    "diverged": bool(row["diverged_default"]),
                }
            )
    return pd.DataFrame(parts, columns=list(SORTED_COLUMNS))
