"""The headline: one optimizer over all tasks, with and without the saturated ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from results.resample import SeedResamples
from results.stats import (
    Aggregate,
    aggregate,
    draw_seeds,
    interquartile_mean,
    interval,
    median,
    share_faster,
)

FASTER_THAN = (1.0, 2.0, 4.0, 16.0)
Unit = Literal["steps", "seconds"]


@dataclass(frozen=True)
class TaskResult:
    """What the headline needs of one candidate on one task.

    Attributes:
      row: its row of the summary.
      log2_seeds: log2 speedup of every seed in steps by the default definition, at the cap when
        censored, -inf when diverged; empty when there is no speedup.
      resamples: the same under other draws of the seeds.
    """

    row: Mapping[str, object]
    log2_seeds: np.ndarray
    resamples: SeedResamples | None


@dataclass(frozen=True)
class Headline:
    """One optimizer over a set of tasks, in one unit.

    Attributes:
      label: the optimizer.
      unit: steps or seconds.
      scope: ``"headline"`` leaves the saturated tasks out, ``"all"`` has them.
      tasks: tasks with a speedup in this unit.
      planned: tasks in this scope, with the incomplete, failed and missing ones.
      seeds: the smallest number of seeds of a task.
      median: median over tasks of the tasks' medians over seeds.
      iqm: interquartile mean over all tasks and seeds.
      faster: share of tasks faster than the key.
      counts: tasks that are censored, diverged, saturated, incomplete, failed, missing.
    """

    label: str
    unit: Unit
    scope: Literal["headline", "all"]
    tasks: int
    planned: int
    seeds: int
    median: Aggregate
    iqm: Aggregate
    faster: Mapping[float, Aggregate]
    counts: Mapping[str, int]


def headlines(results: Sequence[TaskResult]) -> list[Headline]:
    """Headlines of every optimizer, in both units and both scopes."""
    labels = list(dict.fromkeys(str(result.row["label"]) for result in results))
    found = []
    for label in labels:
        mine = [result for result in results if result.row["label"] == label]
        for scope in ("headline", "all"):
            chosen = [r for r in mine if scope == "all" or not r.row["saturated"]]
            found += [_headline(label, unit, scope, chosen) for unit in ("steps", "seconds")]
    return found


def definition_median(summary: pd.DataFrame, label: str, *, name: str) -> Aggregate:
    """Median speedup in steps by one definition, saturated tasks left out."""
    mine = summary.loc[(summary["label"] == label) & ~summary["saturated"].astype(bool)]
    ratio = mine[f"speedup_steps_{name}"].to_numpy(float)
    known = ~np.isnan(ratio)
    censored = (mine[f"censored_{name}"] == "right").to_numpy(bool)
    return aggregate(_log2(ratio[known]), censored[known], median)


def _headline(
    label: str, unit: Unit, scope: Literal["headline", "all"], results: Sequence[TaskResult]
) -> Headline:
    def shift(result: TaskResult) -> float | None:
        """log2 of what turns a speedup in steps into one in this unit."""
        if unit == "steps":
            return 0.0
        ratio = result.row.get("step_time_ratio")
        return None if not isinstance(ratio, float) or np.isnan(ratio) else -float(np.log2(ratio))

    known = [(r, s) for r in results if r.resamples is not None and (s := shift(r)) is not None]
    per_task = _log2(np.array([_number(r.row[f"speedup_{unit}_default"]) for r, _ in known]))
    censored = np.array([r.row["censored_default"] == "right" for r, _ in known], dtype=bool)
    pooled = np.concatenate([r.log2_seeds + s for r, s in known] or [np.empty(0)])
    capped = np.concatenate(
        [r.log2_seeds >= r.resamples.cap_log2 for r, _ in known if r.resamples]
        or [np.empty(0, dtype=bool)]
    )
    middle, iqm = (
        aggregate(per_task, censored, median),
        aggregate(pooled, capped, interquartile_mean),
    )
    if known:
        tables = [r.resamples.shifted(s) for r, s in known if r.resamples is not None]
        draws = draw_seeds(tables)
        medians = median(np.stack([median(draw) for draw in draws], axis=-1))
        means = interquartile_mean(np.concatenate(draws, axis=-1))
        middle = Aggregate(middle.value, *interval(medians), middle.lower_bound)
        iqm = Aggregate(iqm.value, *interval(means), iqm.lower_bound)
    return Headline(
        label=label,
        unit=unit,
        scope=scope,
        tasks=len(known),
        planned=len(results),
        seeds=min((r.log2_seeds.size for r, _ in known), default=0),
        median=middle,
        iqm=iqm,
        faster={than: share_faster(per_task, censored, than=than) for than in FASTER_THAN},
        counts={
            "censored": int(censored.sum()),
            "diverged": sum(r.row["status"] == "diverged" for r in results),
            "saturated": sum(bool(r.row["saturated"]) for r in results),
            **{
                status: sum(r.row["status"] == status for r in results)
                for status in ("incomplete", "failed", "missing")
            },
        },
    )


def _log2(ratio: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log2(ratio)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def ratio_text(found: Aggregate) -> str:
    """``2.5x [2.2, 2.9]``; ``>=`` before a lower bound; ``-`` without tasks."""
    if np.isnan(found.value):
        return "-"
    text = f"{'>=' if found.lower_bound else ''}{found.value:.2f}x"
    if np.isnan(found.low):
        return text
    # Draws are censored as the value is, so the upper end is open too.
    return f"{text} [{found.low:.2f}, {'>=' if found.lower_bound else ''}{found.high:.2f}]"


def share_text(found: Aggregate) -> str:
    """``62%``; ``>=62%`` when censored tasks are undecided; ``-`` without tasks."""
    if np.isnan(found.value):
        return "-"
    return f"{'>=' if found.lower_bound else ''}{found.value:.0%}"
