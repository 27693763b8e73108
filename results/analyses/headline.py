"""The headline: one optimizer over all tasks, with and without the saturated ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from velodrome.results.analyses.summary import stopped_early
from velodrome.results.speedup.definitions import definition_of
from velodrome.results.speedup.overtasks import Sample
from velodrome.results.speedup.stats import (
    FEW_TASKS,
    Aggregate,
    aggregate,
    interquartile_mean,
    median,
)
from velodrome.results.speedup.taskresult import Split, TaskResult, Unit, labels, measured

FASTER_THAN = (1.0, 2.0, 4.0, 16.0)
HEADLINE_UNITS: tuple[Unit, ...] = ("steps", "seconds")
HEADLINE_COLUMNS = (
    "label", "split", "unit", "scope", "statistic", "value", "low", "high", "low_new_tasks",
    "high_new_tasks", "lower_bound", "low_open", "high_open", "low_new_tasks_open",
    "high_new_tasks_open", "tasks", "planned", "seeds", "censored", "diverged",
    "saturated", "no_progress", "incomplete", "failed", "missing",
)  # fmt: skip
"""``lower_bound`` says that ``value`` is at least that much, ``*_open`` that an end of an interval
is, because it would be larger if the baseline had been run for longer."""
Scope = Literal["headline", "all"]


@dataclass(frozen=True)
class Headline:
    """One optimizer over a set of tasks, on one split, in one unit.

    Attributes:
      scope: ``"headline"`` leaves the saturated tasks out, ``"all"`` has them.
      tasks: Tasks with a speedup in this unit.
      planned: All tasks of the suite.
      seeds: The smallest number of seeds of a task.
      median: Median over tasks of the tasks' medians over seeds.
      iqm: Interquartile mean over all tasks and seeds.
      faster: Share of tasks faster than the key, for keys that some task could exceed.
      counts: Of these tasks those that are censored and diverged; and those of the suite that are
        left out because they are saturated (in the scope "all" they are in), without progress,
        incomplete, failed, missing.
      each: The tasks' speedups one by one.
    """

    label: str
    unit: Unit
    scope: Scope
    split: Split
    tasks: int
    planned: int
    seeds: int
    median: Aggregate
    iqm: Aggregate
    faster: Mapping[float, Aggregate]
    counts: Mapping[str, int]
    each: str = ""

    @property
    def few(self) -> bool:
        """Whether the tasks are so few that they are shown one by one."""
        return self.tasks < FEW_TASKS

    def median_text(self) -> str:
        """Return the median with its interval for new tasks; of few tasks all speedups."""
        return (self.each or "-") if self.few else ratio_text(self.median)

    def iqm_text(self) -> str:
        """Return the interquartile mean with its interval for new tasks; nothing of few tasks."""
        return "-" if self.few else ratio_text(self.iqm)


def headlines(results: Sequence[TaskResult]) -> list[Headline]:
    """Return headlines of every optimizer, on both splits, in all units and both scopes."""
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
    saturated = len(results) - len(unsaturated)
    narrow = _of_scope(unsaturated, label, split, "headline", saturated)
    yield from narrow
    if saturated:
        yield from _of_scope(results, label, split, "all", saturated)
    else:
        yield from (replace(headline, scope="all") for headline in narrow)


def _of_scope(
    results: list[TaskResult], label: str, split: Split, scope: Scope, saturated: int
) -> list[Headline]:
    samples: dict[tuple[int, ...], Sample] = {}
    found = []
    for unit in HEADLINE_UNITS:
        known = measured(results, unit=unit, split=split)
        shift, censored = known.shift, known.censored
        if known.places not in samples:
            samples[known.places] = Sample([m.resamples for m in known.splits])
        sample = samples[known.places]
        # Empty arrays first, because there may be no tasks.
        pooled = np.concatenate(
            [np.empty(0), *(m.log2_seeds + s for m, s in zip(known.splits, shift, strict=True))]
        )
        capped = np.concatenate(
            [np.empty(0, bool), *(m.log2_seeds >= m.resamples.cap_log2 for m in known.splits)]
        )
        found.append(
            Headline(
                label=label,
                unit=unit,
                scope=scope,
                split=split,
                tasks=len(known.places),
                planned=len(results) + (saturated if scope == "headline" else 0),
                seeds=known.seeds,
                median=sample.median(aggregate(known.log2, censored, median), shift),
                iqm=sample.iqm(aggregate(pooled, capped, interquartile_mean), shift),
                faster={
                    than: sample.share(known.log2, censored, shift, than=than)
                    for than in FASTER_THAN
                    if than < known.ceiling
                },
                counts={**_counts(results, censored), "saturated": saturated},
                each=known.each,
            )
        )
    return found


def _counts(results: Sequence[TaskResult], censored: np.ndarray) -> dict[str, int]:
    status = [result.row["status"] for result in results]
    return {
        "censored": int(censored.sum()),
        "diverged": status.count("diverged"),
        **{name: status.count(name) for name in ("no progress", "incomplete", "failed", "missing")},
    }


def headline_table(found: Sequence[Headline]) -> pd.DataFrame:
    """Return headlines as a tidy table, one row per number; see :data:`HEADLINE_COLUMNS`."""
    rows = []
    for headline in found:
        numbers = {"median": headline.median, "iqm": headline.iqm}
        numbers |= {f"faster_{than:g}x": share for than, share in headline.faster.items()}
        about = {
            name: getattr(headline, name)
            for name in ("label", "split", "unit", "scope", "tasks", "planned", "seeds")
        }
        counts = {name.replace(" ", "_"): count for name, count in headline.counts.items()}
        rows += [
            {**about, **counts, "statistic": statistic, **number.row()}
            for statistic, number in numbers.items()
        ]
    return pd.DataFrame(rows, columns=list(HEADLINE_COLUMNS))


def definition_median(summary: pd.DataFrame, label: str, *, name: str) -> Aggregate:
    """Return the median speedup in steps by one definition, saturated tasks left out.

    There is none by a definition that needs the budget if some sweep stopped before: the others
    are the tasks that took long.
    """
    if definition_of(name).needs_budget and stopped_early(summary).any():
        return Aggregate(float("nan"))
    mine = summary.loc[(summary["label"] == label) & ~summary["saturated"].astype(bool)]
    ratio = mine[f"speedup_steps_{name}"].to_numpy(float)
    known = ~np.isnan(ratio)
    censored = (mine[f"censored_{name}"] == "right").to_numpy(bool)
    with np.errstate(divide="ignore"):
        return aggregate(np.log2(ratio[known]), censored[known], median)


def ratio_text(found: Aggregate, *, same_tasks: bool = False) -> str:
    """Return ``2.5x [2.2, >=2.9]``; ``>=`` before a lower bound; ``-`` without tasks.

    The interval is that for new tasks, or that for the same tasks. Without one the number stands
    alone.
    """
    if np.isnan(found.value):
        return "-"
    text = f"{'>=' if found.lower_bound else ''}{found.value:.2f}x"
    ends = found.same_tasks if same_tasks else found.new_tasks
    if np.isnan(ends.low):
        return text
    low, high = ("" if not is_open else ">=" for is_open in (ends.low_open, ends.high_open))
    # Only a quotient of two optimizers' speedups can be unbounded: one of them is 0.
    last = "unbounded" if np.isinf(ends.high) else f"{high}{ends.high:.2f}"
    return f"{text} [{low}{ends.low:.2f}, {last}]"


def share_text(found: Aggregate) -> str:
    """Return ``62%``; ``>=62%`` when censored tasks are undecided; ``-`` without tasks."""
    if np.isnan(found.value):
        return "-"
    return f"{'>=' if found.lower_bound else ''}{found.value:.0%}"
