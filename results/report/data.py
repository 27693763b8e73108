"""Everything a report shows, collected from a store in one pass over its tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from results.comparison import TaskComparison, compare
from results.headline import Headline, TaskResult, headlines
from results.published import published_rows, published_table
from results.reference import Reference
from results.report.context import Context, data_text
from results.report.plotdata import CURVE_COLUMNS, learning_curves
from results.store import Problem, Store
from results.summary import table, task_rows


@dataclass(frozen=True)
class ReportData:
    """Tidy tables of one store.

    Attributes:
      context: what the results are of.
      summary: see ``results.summary.COLUMNS``.
      results: what the headlines are computed from.
      headlines: of every optimizer.
      curves: see ``results.report.plotdata.learning_curves``.
      problems: files that were skipped.
      published: our baseline beside the published one, see ``results.published``; empty without
        a reference.
      reference: the published envelopes, or None.
    """

    context: Context
    summary: pd.DataFrame
    results: tuple[TaskResult, ...]
    headlines: tuple[Headline, ...]
    curves: pd.DataFrame
    problems: tuple[Problem, ...]
    published: pd.DataFrame
    reference: Reference | None = None

    @property
    def counts(self) -> str:
        """How many tasks of each optimizer are censored, saturated, ...: for captions."""
        return " ".join(self.counts_of(label, brief=True) for label in self.context.labels)

    def counts_of(self, label: str, *, brief: bool = False) -> str:
        """``VeLO (velo-tiny): 8 tasks, 1 censored, 0 saturated, ...``.

        Args:
          label: the optimizer.
          brief: leave out what is zero, save for the censored tasks.
        """
        mine = next((h for h in self.headlines if h.label == label and h.scope == "all"), None)
        if mine is None:
            return f"{label}: no tasks."
        shown = {k: v for k, v in mine.counts.items() if v or k == "censored" or not brief}
        counts = ", ".join(f"{count} {what}" for what, count in shown.items())
        return f"{label}: {mine.planned} task{'s' * (mine.planned != 1)}, {counts}."


def collect(
    store: Store, *, points: int | None = None, reference: Reference | None = None
) -> ReportData:
    """Reads a store once, one task at a time.

    Args:
      store: opened for reading.
      points: most points of a drawn curve; by default 400, and 120 for more than 12 tasks.
      reference: published envelopes to compare the baseline with.
    """
    planned = len({str(cell["task"]["hash"]) for cell in store.plan.get("cells", ())})
    points = points or (400 if planned <= 12 else 120)
    rows, results, curves, published = [], [], [], []
    rates = 0
    for task in compare(store):
        new = task_rows(task)
        rows += new
        results += _results(task, new)
        drawn = learning_curves(task, points=points, reference=reference)
        published += published_rows(task, reference) if reference else []
        # Empty tables have columns without a type, which would spoil the others'.
        curves += [drawn] if len(drawn) else []
        if task.races:
            rates = max(rates, len(task.races["default"].baseline.points))
    summary = table(rows)
    empty = pd.DataFrame(columns=list(CURVE_COLUMNS))
    return ReportData(
        context=_context(store, summary, rates, planned),
        summary=summary,
        results=tuple(results),
        headlines=tuple(headlines(results)),
        curves=pd.concat(curves or [empty], ignore_index=True),
        problems=store.problems,
        published=published_table(published),
        reference=reference,
    )


def _results(task: TaskComparison, rows: list[dict]) -> list[TaskResult]:
    results = []
    for outcome, row in zip(task.outcomes, rows, strict=True):
        found = outcome.speedups.get("default")
        ratios = np.minimum(found.per_seed, found.cap) if found else np.empty(0)
        with np.errstate(divide="ignore"):
            results.append(TaskResult(row, np.log2(ratios), outcome.resamples))
    return results


def _context(store: Store, summary: pd.DataFrame, rates: int, tasks: int) -> Context:
    protocol = store.manifest.get("protocol", {})
    name = str(protocol.get("baseline", "adam"))
    kinds = [kind for kind in summary["provenance"] if isinstance(kind, str)]
    cells = [cell for cell in store.plan.get("cells", ())]
    baselines = {c.label for c in store.cells() if c.name == name}
    horizons = [int(c["horizon"]) for c in cells]
    steps = int(protocol.get("steps") or min(horizons, default=0))
    budget = max(horizons, default=steps)
    return Context(
        suite=str(store.manifest["suite"].get("name")),
        suite_hash=str(store.manifest["suite"]["hash"]),
        protocol=protocol,
        steps=steps,
        budget=budget,
        eval_every=int(protocol.get("eval_every", 10)),
        baseline=min(baselines, default=name),
        rates=rates,
        seeds=int(protocol.get("seeds", 0)),
        data=data_text(kinds or [store.manifest.get("data")]),
        labels=tuple(dict.fromkeys(summary["label"])),
        tasks=tasks,
    )
