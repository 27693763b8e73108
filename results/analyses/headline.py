"""The headline: one optimizer over all tasks, with and without the saturated ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from velodrome.results.speedup.overtasks import Sample
from velodrome.results.speedup.stats import Aggregate, aggregate, interquartile_mean, median
from velodrome.results.speedup.taskresult import UNITS, Split, TaskResult, Unit, labels, measured

FASTER_THAN = (1.0, 2.0, 4.0, 16.0)
HEADLINE_COLUMNS = (
    "label", "split", "unit", "scope", "statistic", "value", "low", "high", "low_new_tasks",
    "high_new_tasks", "lower_bound", "low_open", "high_open", "low_new_tasks_open",
    "high_new_tasks_open", "tasks", "planned", "seeds", "censored", "diverged",
    "saturated", "incomplete", "failed", "missing",
)  # fmt: skip
"""``lower_bound`` says that ``value`` is at least that much, ``*_open`` that an end of an interval
is, because it would be larger if the baseline had been run for longer."""


@dataclass(frozen=True)
class Headline:
    """One optimizer over a set of tasks, on one split, in one unit.

    Attributes:
      label: the optimizer.
      unit: see ``velodrome.results.speedup.taskresult.UNITS``.
      scope: ``"headline"`` leaves the saturated tasks out, ``"all"`` has them.
      split: ``"train"`` or ``"heldout"``: whose losses are compared.
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
    split: Split
    tasks: int
    planned: int
    seeds: int
    median: Aggregate
    iqm: Aggregate
    faster: Mapping[float, Aggregate]
    counts: Mapping[str, int]


def headlines(results: Sequence[TaskResult]) -> list[Headline]:
    """Headlines of every optimizer, on both splits, in all units and both scopes."""
    return [
        found
        for label in labels(results)
        for split in ("train", "heldout")
        for found in _of_split([r for r in results if r.row["label"] == label], label, split)
    ]


def _of_split(results: list[TaskResult], label: str, split: Split) -> Iterator[Headline]:
    if split == "heldout" and not any(split in result.splits for result in results):
        return
    unsaturated = [r for r in results if not r.row["saturated"]]
    narrow = _of_scope(unsaturated, label, split, "headline")
    yield from narrow
    if len(unsaturated) == len(results):
        yield from (replace(headline, scope="all") for headline in narrow)
    else:
        yield from _of_scope(results, label, split, "all")


def _of_scope(
    results: list[TaskResult], label: str, split: Split, scope: Literal["headline", "all"]
) -> list[Headline]:
    samples: dict[tuple[int, ...], Sample] = {}
    found = []
    for unit in UNITS:
        known = measured(results, unit=unit, split=split)
        places, shift, censored = known.places, known.shift, known.censored
        if places not in samples:
            samples[places] = Sample([m.resamples for m in known.splits])
        pooled = np.concatenate(
            [m.log2_seeds + s for m, s in zip(known.splits, shift, strict=True)] or [np.empty(0)]
        )
        capped = np.concatenate(
            [m.log2_seeds >= m.resamples.cap_log2 for m in known.splits]
            or [np.empty(0, dtype=bool)]
        )
        sample = samples[places]
        found.append(
            Headline(
                label=label,
                unit=unit,
                scope=scope,
                split=split,
                tasks=len(places),
                planned=len(results),
                seeds=known.seeds,
                median=sample.median(aggregate(known.log2, censored, median), shift),
                iqm=sample.iqm(aggregate(pooled, capped, interquartile_mean), shift),
                faster={
                    than: sample.share(known.log2, censored, shift, than=than)
                    for than in FASTER_THAN
                },
                counts=_counts(results, censored),
            )
        )
    return found


def _counts(results: Sequence[TaskResult], censored: np.ndarray) -> dict[str, int]:
    status = [result.row["status"] for result in results]
    return {
        "censored": int(censored.sum()),
        "diverged": status.count("diverged"),
        "saturated": sum(bool(result.row["saturated"]) for result in results),
        **{name: status.count(name) for name in ("incomplete", "failed", "missing")},
    }


def headline_table(found: Sequence[Headline]) -> pd.DataFrame:
    """Headlines as a tidy table, one row per number; see :data:`HEADLINE_COLUMNS`."""
    rows = []
    for headline in found:
        numbers = {"median": headline.median, "iqm": headline.iqm}
        numbers |= {f"faster_{than:g}x": share for than, share in headline.faster.items()}
        for statistic, number in numbers.items():
            rows.append(
                {
                    "label": headline.label,
                    "split": headline.split,
                    "unit": headline.unit,
                    "scope": headline.scope,
                    "statistic": statistic,
                    **vars(number),
                    "tasks": headline.tasks,
                    "planned": headline.planned,
                    "seeds": headline.seeds,
                    **headline.counts,
                }
            )
    return pd.DataFrame(rows, columns=list(HEADLINE_COLUMNS))


def definition_median(summary: pd.DataFrame, label: str, *, name: str) -> Aggregate:
    """Median speedup in steps by one definition, saturated tasks left out."""
    mine = summary.loc[(summary["label"] == label) & ~summary["saturated"].astype(bool)]
    ratio = mine[f"speedup_steps_{name}"].to_numpy(float)
    known = ~np.isnan(ratio)
    censored = (mine[f"censored_{name}"] == "right").to_numpy(bool)
    with np.errstate(divide="ignore"):
        return aggregate(np.log2(ratio[known]), censored[known], median)


def ratio_text(found: Aggregate, *, new_tasks: bool = False) -> str:
    """``2.5x [2.2, >=2.9]``; ``>=`` before a lower bound; ``-`` without tasks.

    Without an interval the number stands alone.

    Args:
      found: the number.
      new_tasks: take the interval for new tasks.
    """
    if np.isnan(found.value):
        return "-"
    text = f"{'>=' if found.lower_bound else ''}{found.value:.2f}x"
    low, high, low_open, high_open = found.low, found.high, found.low_open, found.high_open
    if new_tasks:
        low, high = found.low_new_tasks, found.high_new_tasks
        low_open, high_open = found.low_new_tasks_open, found.high_new_tasks_open
    if np.isnan(low):
        return text
    # Draws are censored as the value is, so the upper end of a lower bound is open too.
    high_open = high_open or found.lower_bound
    return f"{text} [{'>=' if low_open else ''}{low:.2f}, {'>=' if high_open else ''}{high:.2f}]"


def share_text(found: Aggregate) -> str:
    """``62%``; ``>=62%`` when censored tasks are undecided; ``-`` without tasks."""
    if np.isnan(found.value):
        return "-"
    return f"{'>=' if found.lower_bound else ''}{found.value:.0%}"
