"""When each optimizer reaches a target on a task, and how much earlier than the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from velodrome.results.analyses.tuning import point_text
from velodrome.results.speedup.comparison import TaskComparison
from velodrome.results.speedup.outcome import median_seconds
from velodrome.results.store.cell import Cell
from velodrome.results.store.curves import FOREVER, Curves
from velodrome.results.store.plan import Hyperparameters, LaneInfo
from velodrome.results.store.records import SuiteRecord, Timing
from velodrome.results.store.target import Target

TARGET_COLUMNS = (
    "index", "task", "family", "label", "split", "metric", "better", "target", "status", "point",
    "reached", "seeds", "steps", "seconds", "steps_by_seed", "best", "horizon", "ratio_steps",
    "ratio_seconds", "bound",
)  # fmt: skip
"""Columns of :func:`target_rows`.

``status`` is ``reached``, ``some seeds``, ``not reached``, ``not measured`` (the runs record no
such metric) or ``no runs``. ``point`` is the point of the sweep that gets there first, by the
median over seeds; empty if no run gets there. ``steps`` is that median, of the first evaluations
that reach the target: +inf if half of the seeds or more do not. ``steps_by_seed`` has a text for
each seed. ``best`` is the best value of any run, ``horizon`` the last step of the longest one. The
ratios are the baseline's median over that of the optimizer. They are bounds, as ``bound`` says,
where runs that have not reached the target were not followed for long enough: ``>=``, ``<=``, or
``~`` for both.
"""


@dataclass(frozen=True)
class Arrival:
    """When the runs of a cell reach a target.

    Attributes:
      point: The point of the sweep that gets there first.
      steps: Of each seed, at that point: +inf where it is not reached, NaN without a run.
      median: Over the seeds; those without a run count as such that do not reach it.
      least: What the median would be at least, at the best point, if all runs were followed on.
      best: The best value of any run.
      horizon: The last step of the longest run.
    """

    point: str
    steps: Float[np.ndarray, " seed"]
    median: float
    least: float
    best: float
    horizon: int


def targets_of(suite: SuiteRecord) -> dict[str, Target]:
    """Return the targets that a stored suite names, by the hash of the task."""
    return {
        task["hash"]: Target.from_json(task["target"])
        for task in suite.get("tasks", ())
        if "hash" in task and "target" in task
    }


def first_steps(curves: Curves, target: Target) -> Float[np.ndarray, " lane"]:
    """Return the first evaluated step at which each lane reaches the target, +inf if none does."""
    # Values are stored as float32: 0.9 must be reached by what is stored as 0.9.
    values, value = curves.values.astype(np.float32), np.float32(target.value)
    with np.errstate(invalid="ignore"):
        there = values <= value if target.better == "lower" else values >= value
    for row, lane in enumerate(curves.lanes):
        if lane.diverged_at is not None:
            there[row] &= curves.steps < lane.diverged_at
    if not there.size:
        return np.full(len(curves.lanes), np.inf)
    return np.where(there.any(axis=1), curves.steps[there.argmax(axis=1)], np.inf)


def arrival(cell: Cell, target: Target) -> Arrival | str:
    """Return when the runs of a cell reach a target; or ``no runs``, or ``not measured``."""
    curves = cell.curves(split=target.split, metric=target.metric)
    if not curves.lanes:
        return "no runs"
    if not np.isfinite(curves.values).any():
        return "not measured"
    return arrival_of(curves, target, planned=cell.planned or curves.lanes)


def arrival_of(curves: Curves, target: Target, *, planned: Sequence[LaneInfo]) -> Arrival:
    """Return when runs reach a target; ``planned`` has those too that are not there."""
    seeds = sorted({lane.seed for lane in planned})
    points: dict[str, Hyperparameters] = {x.point: x.hyperparameters for x in planned}
    order = list(points)
    steps = np.full((len(points), len(seeds)), np.nan)
    ends = np.zeros(steps.shape)
    for lane, step, end in zip(
        curves.lanes, first_steps(curves, target), curves.ends(), strict=True
    ):
        place = order.index(lane.point), seeds.index(lane.seed)
        steps[place], ends[place] = step, np.inf if end == FOREVER else end
    there, values = np.isfinite(steps), curves.values[np.isfinite(curves.values)]
    medians = np.median(np.where(there, steps, np.inf), axis=1)
    # Where no median is finite, more seeds go first, and then the earliest of them.
    earliest = np.where(there, steps, np.inf).min(axis=1)
    chosen = int(np.lexsort((earliest, -there.sum(axis=1), medians))[0])
    return Arrival(
        point_text(list(points.values()), chosen),
        steps[chosen],
        float(medians[chosen]),
        float(np.median(np.where(there, steps, ends), axis=1).min()),
        float(values.min() if target.better == "lower" else values.max()),
        int(curves.steps[-1]),
    )


def ratio_of(baseline: Arrival, other: Arrival) -> tuple[float, str]:
    """Return how many times as many steps the baseline takes, and whether that is a bound.

    NaN if neither reaches the target, if it is met before the first update, or if the runs of the
    other one are missing.
    """
    if baseline.median == np.inf == other.median or other.median == 0:
        return np.nan, ""
    if other.median == np.inf:
        if other.least == 0:
            return np.nan, ""
        return baseline.median / other.least, "<=" if np.isfinite(other.least) else ""
    if baseline.median == np.inf:
        known = np.isfinite(baseline.least)
        return (baseline.least / other.median, ">=") if known else (np.nan, "")
    earlier = [one.least < one.median for one in (baseline, other)]
    bound = "~" if all(earlier) else "<=" if earlier[0] else ">=" if earlier[1] else ""
    return baseline.median / other.median, bound


def target_rows(
    task: TaskComparison, target: Target, timings: Mapping[str, Timing]
) -> list[dict[str, object]]:
    """Return rows of :data:`TARGET_COLUMNS`, the baseline's first."""
    cells = [*([task.baseline] if task.baseline else []), *(o.cell for o in task.outcomes)]
    found = [arrival(cell, target) for cell in cells]
    base = found[0] if task.baseline and not task.incomplete else "no runs"
    ratios = {o.cell.id: o.step_time_ratio for o in task.outcomes}
    rows: list[dict[str, object]] = []
    for cell, one in zip(cells, found, strict=True):
        row: dict[str, object] = {
            **task.about, "label": cell.label, "split": target.split, "metric": target.metric,
            "better": target.better, "target": target.value,
        }  # fmt: skip
        rows.append(row)
        if isinstance(one, str):
            row["status"] = one
            continue
        ratio, bound = np.nan, ""
        if cell is not task.baseline and isinstance(base, Arrival):
            ratio, bound = ratio_of(base, one)
        count, seeds = int(np.isfinite(one.steps).sum()), len(one.steps)
        row |= {
            "status": ("reached" if count == seeds else "some seeds") if count else "not reached",
            "point": one.point if count else "",
            "reached": count,
            "seeds": seeds,
            "steps": one.median,
            "seconds": one.median * median_seconds(timings.get(cell.id)),
            "steps_by_seed": ", ".join(map(_step_text, one.steps)),
            "best": one.best,
            "horizon": one.horizon,
            "ratio_steps": ratio,
            "ratio_seconds": ratio / (ratios.get(cell.id) or np.nan),
            "bound": bound,
        }
    return rows


def _step_text(step: float) -> str:
    if np.isnan(step):
        return "no run"
    return f"{step:.0f}" if np.isfinite(step) else "not reached"
