"""Steps and seconds to fixed fractions of the way from the initial to the best loss of a task."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from velodrome.results.speedup.comparison import TaskComparison
from velodrome.results.speedup.envelope import envelope, steps_to_loss
from velodrome.results.speedup.outcome import median_seconds
from velodrome.results.store.curves import seed_mean
from velodrome.results.store.records import Timing

FRACTIONS = (0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
TIME_COLUMNS = (
    "index", "task", "family", "label", "saturated", "fraction", "loss", "steps", "seconds",
    "reached",
)  # fmt: skip
"""Columns of :func:`time_rows`.

``loss`` lies ``fraction`` of the way from the baseline's initial loss to the lowest smoothed loss
(seed mean) that any optimizer reaches on the task within the candidates' steps. ``steps`` is the
first step at which it is reached, +inf if never (``reached`` is False): for the baseline by its
envelope, which is its best rate for this very loss, and by its best single rate; for a candidate
the median over seeds.
``seconds`` is that times its seconds per step, NaN where they were not measured.
"""
SINGLE = "{}, best single rate"


def time_rows(task: TaskComparison, timings: Mapping[str, Timing]) -> list[dict[str, object]]:
    """Return rows of :data:`TIME_COLUMNS`.

    None if the baseline's sweep is incomplete, or if no optimizer makes progress.
    """
    baseline, base = task.whole, task.baseline
    if baseline is None or base is None:
        return []
    if not task.learnable:
        return []
    outcomes = [o for o in task.outcomes if o.compared]
    rates, steps = baseline.rates(task.evaluations), baseline.sweep.steps
    curves: list[tuple[str, str, np.ndarray, np.ndarray]] = [
        (base.label, base.id, steps, envelope(rates)[None]),
    ]
    if baseline.runs.whole:
        single = envelope(rates, kind="single")[None]
        curves.append((SINGLE.format(base.label), base.id, steps, single))
    end = min((o.cell.horizon for o in outcomes), default=int(steps[-1]))
    best = float(curves[0][3][0, max(0, int(np.searchsorted(steps, end, side="right")) - 1)])
    for outcome in outcomes:
        sweep, point = outcome.train, outcome.point
        assert sweep is not None and point is not None  # it has been run
        smooth = baseline.definition.smooth_candidate(sweep.losses)[point]
        there = sweep.present[point]
        mean = seed_mean(smooth[None], there[None])[0]
        within = mean[: int(np.searchsorted(sweep.steps, end, side="right"))]
        best = min(best, float(within.min()))
        reached = np.minimum.accumulate(smooth[there], axis=1)
        curves.append((outcome.cell.label, outcome.cell.id, sweep.steps, reached))
    initial = float(rates[:, 0].min())
    if not (np.isfinite(best) and initial > best):
        return []
    targets = initial - np.array(FRACTIONS) * (initial - best)
    return [
        {
            **task.about,
            "saturated": task.saturated,
            "label": label,
            "fraction": fraction,
            "loss": float(target),
            "steps": float(found),
            "seconds": float(found) * median_seconds(timings.get(cell)),
            "reached": bool(np.isfinite(found)),
        }
        for label, cell, at, reached in curves
        for fraction, target, found in zip(
            FRACTIONS, targets, median_steps(at, reached, targets), strict=True
        )
    ]


def median_steps(
    steps: np.ndarray, reached: Float[np.ndarray, "seed eval"], targets: np.ndarray
) -> Float[np.ndarray, " target"]:
    """Return the median over seeds of the first step at which each target is reached.

    +inf if it never is.
    """
    return np.median([steps_to_loss(steps, curve, targets) for curve in reached], axis=0)
