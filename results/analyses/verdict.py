"""Which optimizer is best, whether that is significant, and which point of a sweep to use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from velodrome.results.analyses.headline import Headline
from velodrome.results.speedup.stats import (
    FEW_TASKS,
    Aggregate,
    Interval,
    aggregate,
    gather,
    interval,
    median,
    uniforms,
)
from velodrome.results.speedup.taskresult import TaskResult, Unit, measured, unsaturated


def ranked(found: Sequence[Headline], *, unit: Unit = "steps") -> list[Headline]:
    """Return the optimizers' headlines in one unit, the highest median first; ties by the IQM.

    Those on few tasks come last: their medians say too little to be compared.
    """
    mine = [
        h
        for h in found
        if (h.unit, h.split, h.scope) == (unit, "train", "headline") and h.tasks > 0
    ]
    return sorted(mine, key=lambda h: (h.few, -h.median.value, -h.iqm.value))


def significance(found: Aggregate) -> int:
    """Return 1 if the interval for new tasks lies above 1, -1 if below, 0 if neither."""
    ends = found.new_tasks
    return int(ends.low > 1) - int(ends.high < 1 and not ends.high_open)


@dataclass(frozen=True)
class Lead:
    """The quotient of two optimizers' medians on the tasks that both have.

    Attributes:
      undecided: The baseline's budget bounds a median: the quotient means little.
    """

    ratio: Aggregate
    tasks: int
    undecided: bool


def lead(results: Sequence[TaskResult], label: str, other: str) -> Lead:
    """Compare two optimizers; common draws of tasks and seeds keep what they share."""
    ours, theirs = (
        {r.row["index"]: r for r in unsaturated(results, name) if "train" in r.splits}
        for name in (label, other)
    )
    common = [index for index in ours if index in theirs]
    sides = [measured([side[i] for i in common], unit="steps") for side in (ours, theirs)]
    if not common:
        return Lead(Aggregate(float("nan")), 0, undecided=False)
    bounds = [aggregate(side.log2, side.censored, median).lower_bound for side in sides]
    with np.errstate(invalid="ignore"):  # -inf - -inf: both have speedup 0
        value = float(np.exp2(median(sides[0].log2) - median(sides[1].log2)))
    ends = Interval()
    if len(common) >= FEW_TASKS:
        which, uniform = uniforms(len(common), new_tasks=True)
        draws = [
            median(median(gather([m.resamples for m in side.splits], which, uniform)))
            for side in sides
        ]
        with np.errstate(invalid="ignore"):
            apart = draws[0] - draws[1]
        ends = Interval(*interval(np.where(np.isnan(apart), 0.0, apart)))
    return Lead(Aggregate(value, new_tasks=ends), len(common), undecided=any(bounds))


@dataclass(frozen=True)
class Advice:
    """The point of a sweep to start from on a new task.

    Attributes:
      point: The one that comes furthest, as the mean over tasks of its share of the best point's
        way from the initial loss; diverged seeds count as none.
      near: On how many tasks it comes within 10% of the best point's way.
      edge: On how many tasks the best point is at an end of the grid.
      tasks: Tasks on which this optimizer makes progress.
    """

    point: str
    near: int
    edge: int
    tasks: int


def advice(sensitivity: pd.DataFrame, label: str, *, steps: int) -> Advice | None:
    """Return the point that is good on most tasks after ``steps``; None without a sweep."""
    rows = sensitivity.loc[
        (sensitivity["label"] == label) & (sensitivity["steps"] == steps)
    ].reset_index(drop=True)
    best = rows.loc[(rows["best"] & rows["progress"]).astype(bool)].set_index("index")
    learned = best["initial"] - best["loss"]
    rows = rows.loc[rows["index"].isin(learned.index)]
    if rows.empty:
        return None
    ways = rows["index"].map(learned).to_numpy(float)
    with np.errstate(invalid="ignore"):
        done = (rows["initial"].to_numpy(float) - rows["loss"].to_numpy(float)) / ways
    rows = rows.assign(done=np.clip(np.where(np.isfinite(done), done, 0.0), 0.0, 1.0))
    mean = rows.groupby("point", sort=False)["done"].sum()
    point = str(mean.idxmax())
    near = int(rows.loc[rows["point"] == point, "near_best"].sum())
    return Advice(point, near, int(best["edge"].sum()), len(best))
