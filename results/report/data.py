"""Everything a report shows, collected from a store in one pass over its tasks."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from velodrome.foundation.text import plural
from velodrome.results.analyses.anytime import anytime_curves, anytime_rows
from velodrome.results.analyses.budget import budget_curves, budget_rows
from velodrome.results.analyses.definitions import definition_table
from velodrome.results.analyses.equal_steps import after_equal_steps
from velodrome.results.analyses.failures import failure_table, task_failures
from velodrome.results.analyses.families import family_table
from velodrome.results.analyses.headline import (
    Headline,
    headline_table,
    headlines,
)
from velodrome.results.analyses.horizon import horizon_table
from velodrome.results.analyses.improvement import pairs
from velodrome.results.analyses.overhead import overhead_table
from velodrome.results.analyses.profiles import profiles
from velodrome.results.analyses.reference import Reference
from velodrome.results.analyses.reference_comparison import published_rows, published_table
from velodrome.results.analyses.summary import stopped_early, table, task_rows
from velodrome.results.analyses.targets import TARGET_COLUMNS, target_rows, targets_of
from velodrome.results.analyses.task_results import task_results
from velodrome.results.analyses.time_to_loss import TIME_COLUMNS, time_rows
from velodrome.results.analyses.tuning import (
    SENSITIVITY_COLUMNS,
    in_order_labels,
    sensitivity_rows,
    tuning_curves,
)
from velodrome.results.analyses.tuning_cost import cost_table
from velodrome.results.report.context import Context, data_text
from velodrome.results.report.plot_data import CURVE_COLUMNS, learning_curves
from velodrome.results.speedup.comparison import compare, labelled_cells
from velodrome.results.speedup.taskresult import Split, TaskResult, Unit
from velodrome.results.store.cell import Cell
from velodrome.results.store.combined import open_stores
from velodrome.results.store.json_files import Problem
from velodrome.results.store.provenance import (
    costs_by_label,
    provenance_table,
    spec_table,
    task_specs,
)
from velodrome.results.store.selection import Selection
from velodrome.results.store.store import Store
from velodrome.results.store.target import Target

_RARE = ("published", "budget", "horizon", "targets")
"""Tables that most reports have no rows of."""

Row = Mapping[Hashable, Any]
"""A row of a table by column, as ``DataFrame.to_dict("records")`` gives it."""
StorePaths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A store; or several of the same tasks and protocol, with other optimizers or more seeds."""


@dataclass(frozen=True)
class ReportData:
    """Tidy tables of one store, and what the headlines are computed from.

    Columns of ``curves`` are ``velodrome.results.report.plot_data.CURVE_COLUMNS``; the others'
    stand with the functions that make them, in ``velodrome.results.analyses`` and
    ``velodrome.results.store.provenance``.
    ``in_order`` are the labels whose sweep is a list of trials in their order.
    ``problems`` are files that were skipped. ``published`` is our baseline beside the one of
    ``reference``, and is empty without a reference.
    """

    context: Context
    summary: pd.DataFrame
    results: tuple[TaskResult, ...]
    headlines: tuple[Headline, ...]
    headline: pd.DataFrame
    definitions: pd.DataFrame
    families: pd.DataFrame
    curves: pd.DataFrame
    sensitivity: pd.DataFrame
    tuning: pd.DataFrame
    in_order: tuple[str, ...]
    budget: pd.DataFrame
    tuning_cost: pd.DataFrame
    horizon: pd.DataFrame
    profile: pd.DataFrame
    profile_scores: pd.DataFrame
    pairs: pd.DataFrame
    overhead: pd.DataFrame
    time_to_loss: pd.DataFrame
    targets: pd.DataFrame
    anytime: pd.DataFrame
    failures: pd.DataFrame
    provenance: pd.DataFrame
    specs: pd.DataFrame
    problems: tuple[Problem, ...]
    published: pd.DataFrame
    reference: Reference | None = None

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return all tables by name, those without rows too."""
        return {name: v for name, v in vars(self).items() if isinstance(v, pd.DataFrame)}

    def saved_tables(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Return the tables that are written to files, each with the kind of data of its rows.

        The curves are left out, which are smoothed and thinned for drawing; and, where they have
        no rows, the published baseline, the budgets of ordered lists, wrong numbers of steps and
        targets.
        """
        for name, found in self.tables().items():
            if name != "curves" and (name not in _RARE or len(found)):
                yield name, self.with_provenance(found)

    def with_provenance(self, table: pd.DataFrame) -> pd.DataFrame:
        """Add the baseline's mode, and the kind of data, of each task where there are tasks.

        Files are read alone too.
        """
        table = table.assign(baseline_mode=str(self.context.mode))
        if "provenance" in table:
            return table
        if "task" not in table:
            return table.assign(provenance=_kinds(self.summary))
        kinds = {task: _kinds(rows) for task, rows in self.summary.groupby("task")}
        return table.assign(provenance=[kinds.get(task) for task in table["task"]])

    def headline_of(
        self, label: str, *, unit: Unit = "steps", split: Split = "train"
    ) -> Headline | None:
        """Return the headline of an optimizer without the saturated tasks."""
        key = (label, unit, split, "headline")
        found = (h for h in self.headlines if (h.label, h.unit, h.split, h.scope) == key)
        return next(found, None)

    def counts(self, *, unit: Unit = "steps", split: Split = "train") -> str:
        """Return what :meth:`counts_of` says of every optimizer: for captions."""
        labels = self.context.labels
        return " ".join(self.counts_of(label, unit=unit, split=split) for label in labels)

    def counts_of(self, label: str, *, unit: Unit = "steps", split: Split = "train") -> str:
        """Return how many tasks a figure or a median rests on, and which are not among them.

        Such as ``VeLO: 5 of 8 tasks, 1 censored, 1 diverged; left out: 2 failed, 1 saturated.``
        """
        found = self.headline_of(label, unit=unit, split=split)
        if found is None:
            return f"{label}: no tasks."
        counts = dict(found.counts)
        text = f"{counts.pop('censored')} censored"
        if diverged := counts.pop("diverged"):
            text += f", {diverged} diverged"
        # Tasks without seconds, or without held-out losses at the end, have no status for that.
        counts["not measured"] = found.planned - found.tasks - sum(counts.values())
        out = ", ".join(f"{count} {what}" for what, count in counts.items() if count > 0)
        part = f"{found.tasks} of " if found.tasks != found.planned else ""
        tasks = f"{part}{plural(found.planned, 'task')}"
        return f"{label}: {tasks}, {text}{f'; left out: {out}' if out else ''}."


def _kinds(rows: pd.DataFrame) -> str:
    return "+".join(sorted(set(rows["provenance"].dropna())))


def opened(stores: StorePaths, select: Selection | None = None) -> Store:
    """Open stores for reading, several as one.

    Raises:
      StoreError: There is no readable store, or several do not belong together.
    """
    return open_stores([stores] if isinstance(stores, str | os.PathLike) else stores, select)


def collect(
    store: Store,
    *,
    points: int | None = None,
    reference: Reference | None = None,
    target: Target | None = None,
) -> ReportData:
    """Read a store once, one task at a time, and keep only reduced tables of each.

    Args:
      store: Opened for reading.
      points: Most points of a drawn curve; by default 400, and 120 for more than 12 tasks.
      reference: Published envelopes to compare the baseline with.
      target: What is to be reached on every task; by default what the suite says of each.
    """
    planned = len({cell.task.hash for cell in store.plan.cells})
    points = points or (400 if planned <= 12 else 120)
    cells, timings = labelled_cells(store), store.timings
    labels = {cell.id: cell.label for cell in cells}
    rows, results, curves, published, failures = [], [], [], [], []
    sensitivity, equal, times, anytime, budget, arrivals = [], [], [], [], [], []
    targets = targets_of(store.suite)
    rates: list[int] = []
    for task in compare(store, cells=cells):
        new = task_rows(task)
        rows += new
        results += task_results(task, new)
        drawn = learning_curves(task, points=points, reference=reference)
        # Empty tables have columns without a type, which would spoil the others'.
        curves += [drawn] if len(drawn) else []
        published += published_rows(task, reference) if reference else []
        failures += task_failures(task)
        sensitivity += sensitivity_rows(task)
        equal.append(after_equal_steps(task))
        times += time_rows(task, timings)
        if wanted := target or targets.get(task.task.hash):
            arrivals += target_rows(task, wanted, timings)
        anytime += anytime_rows(task)
        budget += budget_rows(task)
        if task.envelopes:
            rates.append(len(task.envelopes["default"].sweep.points))
    summary = table(rows)
    empty = pd.DataFrame(columns=list(CURVE_COLUMNS))
    found = tuple(headlines(results))
    equal = [task for task in equal if task]
    profile, scores, _ = profiles(equal)
    context = _context(store, summary, rates, planned, cells)
    tuning = tuning_curves(equal)
    return ReportData(
        context=context,
        summary=summary,
        results=tuple(results),
        headlines=found,
        headline=headline_table(found),
        definitions=definition_table(summary),
        families=family_table(results),
        curves=pd.concat(curves or [empty], ignore_index=True),
        sensitivity=pd.DataFrame(sensitivity, columns=list(SENSITIVITY_COLUMNS)),
        tuning=tuning,
        in_order=in_order_labels(equal),
        budget=budget_curves(budget),
        tuning_cost=cost_table(results, tuning, context.baseline),
        horizon=horizon_table(results, cells),
        profile=profile,
        profile_scores=scores,
        pairs=pairs(equal),
        overhead=overhead_table(store, labels, task_specs(store)),
        time_to_loss=pd.DataFrame(times, columns=list(TIME_COLUMNS)),
        targets=pd.DataFrame(arrivals, columns=list(TARGET_COLUMNS)),
        anytime=anytime_curves(anytime),
        failures=failure_table(store, labels, failures),
        provenance=provenance_table(store, cells),
        specs=spec_table(store, cells),
        problems=store.problems,
        published=published_table(published),
        reference=reference,
    )


def _rates(rates: list[int], *, refined: bool) -> int:
    if not rates:
        return 0
    return round(np.median(rates)) if refined else max(rates)


def _context(
    store: Store, summary: pd.DataFrame, rates: list[int], tasks: int, listed: list[Cell]
) -> Context:
    protocol = store.manifest.get("protocol", {})
    kinds = [kind for kind in summary["provenance"] if isinstance(kind, str)]
    baselines = [cell for cell in listed if cell.name == store.baseline]
    horizons = [cell.horizon for cell in store.plan.cells]
    steps = protocol.get("steps") or min(horizons, default=0)
    budget = max(horizons, default=steps)
    each = summary.drop_duplicates("index")
    stopped = stopped_early(each)
    return Context(
        suite=str(store.manifest["suite"].get("name")),
        protocol=protocol,
        steps=steps,
        budget=budget,
        eval_every=protocol.get("eval_every", 10),
        baseline=min((cell.label for cell in baselines), default=store.baseline),
        rates=_rates(rates, refined=protocol.get("refine") is not None),
        seeds=protocol.get("seeds", 0),
        data=data_text(kinds or [store.manifest.get("data")]),
        labels=tuple(dict.fromkeys(summary["label"])),
        tasks=tasks,
        mode=store.baseline_mode,
        stopped=int(stopped.sum()),
        undecided=int((stopped & each["decided"].eq(False).to_numpy(bool)).sum()),
        baseline_ran=any(cell.shards for cell in baselines),
        meta_training=costs_by_label(store.manifest, listed),
        imported=tuple(dict.fromkeys(c.label for c in listed if c.optimizer.imported)),
    )
