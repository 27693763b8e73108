"""What a report says in sentences: definitions, intervals, counts, and what went wrong."""

from __future__ import annotations

import numpy as np

from velodrome.foundation.text import plural
from velodrome.results.analyses.headline import definition_median, ratio_text
from velodrome.results.analyses.reference import WORDS
from velodrome.results.report.context import times
from velodrome.results.report.data import ReportData
from velodrome.results.speedup.definitions import DEFINITIONS, caveat
from velodrome.results.speedup.stats import BAND_SEEDS
from velodrome.results.store.provenance import UNKNOWN


def definition_lines(data: ReportData) -> list[str]:
    """The definitions used, with what each gives and what to know before believing it."""
    lines = []
    if not data.context.labels:
        return lines
    for name, definition in DEFINITIONS.items():
        medians = "; ".join(
            f"{label} {ratio_text(definition_median(data.summary, label, name=name))}"
            + _over_default(data, label, name)
            for label in data.context.labels
        )
        warning = caveat(name, steps=data.context.steps, eval_every=data.context.eval_every)
        lines.append(
            f"{name}: median in steps {medians}. {definition.summary[0].upper()}"
            f"{definition.summary[1:]}.{f' Beware: {warning}.' if warning else ''}"
        )
    return lines


def _over_default(data: ReportData, label: str, name: str) -> str:
    """How the median by a definition differs from that by ``default``."""
    table = data.definitions
    found = table.loc[(table["label"] == label) & (table["definition"] == name), "over_default"]
    if name == "default" or found.empty or np.isnan(found.iloc[0]):
        return ""
    return f" ({found.iloc[0]:.2f} times that by default)"


def published_line(data: ReportData) -> str:
    """What the table of the published baseline says, and of which file."""
    assert data.reference is not None  # there are rows of it
    return (
        f"{data.context.baseline} of this store ({data.context.data}) beside the published "
        f"envelope of {WORDS[data.reference.kind]} ({data.reference.origin}): steps that the "
        "published one needs to the loss that ours has reached, over our steps. Above 1x ours is "
        "faster. They compare only on the real data, under the published protocol."
    )


def count_lines(data: ReportData) -> list[str]:
    """What the intervals are, and how many tasks are censored, saturated, incomplete, ..."""
    context = data.context
    if not context.labels:
        return [f"There are no speedups: no optimizer besides {context.baseline}."]
    if not context.baseline_ran:
        return [f"There are no speedups: {context.baseline}, the baseline, has not been run."]
    lines = [
        *_interval_lines(data),
        *_unpaired_lines(data),
        f"A speedup in steps cannot exceed {times(context.multiple)}: {context.baseline} was run "
        f"{times(context.multiple)[:-1]} times as long. >= marks values, aggregates and ends of "
        "intervals that are at least this much.",
    ]
    lines += [*_new_task_lines(data), *_set_apart_lines(data)]
    rates = "the one rate" if context.rates == 1 else f"all {context.rates} rates"
    tuning = f"Total tuning cost: {rates} of {context.baseline} against the candidate's own trials."
    lines += [tuning, *meta_training_lines(data)]
    lines += [data.counts_of(label) for label in context.labels]
    return lines


def _interval_lines(data: ReportData) -> list[str]:
    """What the intervals are, and of how many seeds: those that there are, not those planned."""
    known = [found for found in data.headlines if found.tasks]
    if not known:
        return []
    if all(np.isnan(found.median.same_tasks.low) for found in known):
        return [
            "There are no intervals for the same tasks: no task has two seeds of any optimizer."
        ]
    seeds = min(found.seeds for found in known)
    return [
        "Intervals: same tasks, seeds drawn anew (stratified bootstrap, 2,000 draws, the rate "
        f"chosen again in each); with {plural(seeds, 'seed')} they are "
        + ("too narrow." if seeds < BAND_SEEDS else "indicative.")
    ]


def _set_apart_lines(data: ReportData) -> list[str]:
    """How many tasks are saturated, and on how many the baseline diverged at every rate."""
    planned, baseline = data.context.tasks, data.context.baseline
    tasks = data.summary.drop_duplicates("index")
    saturated = int(np.sum(tasks["saturated"].eq(True).to_numpy()))
    lines = [
        f"Saturated tasks ({saturated} of {planned}) are left out of all medians, shares and "
        "intervals, save in rows of all tasks."
    ]
    diverged = int(np.isposinf(tasks["baseline_train_at_budget"].to_numpy(float)).sum())
    if diverged:
        lines.append(
            f"On {diverged} of {plural(planned, 'task')} {baseline} diverged at every rate: there "
            "is no best rate, and a candidate that did not diverge has a lower bound (>=), unless "
            f"{baseline} had reached its loss before."
        )
    return lines


def _unpaired_lines(data: ReportData) -> list[str]:
    """Which optimizers have other seeds than the baseline, in whole or in part."""
    lines = []
    for label in data.context.labels:
        paired = data.summary.loc[data.summary["label"] == label, "paired"].dropna()
        apart = int(paired.eq(False).sum())
        if apart:
            lines.append(
                f"{label} is not paired on {apart} of {plural(len(paired), 'task')}: its seeds "
                f"are not exactly those of {data.context.baseline}, so they are drawn "
                "independently of all others, common ones too."
            )
    return lines


def meta_training_lines(data: ReportData) -> list[str]:
    """What meta-training cost, an optimizer a line; of which none is known, that it is left out."""
    outside = "paid once, and not counted in any number here"
    costs = data.context.meta_training
    if not costs:
        return [f"What meta-training a learned optimizer cost is {outside}."]
    return [
        f"{label}: what meta-training cost is {UNKNOWN}; it is {outside}."
        if cost == UNKNOWN
        else f"{label}: meta-training took {cost}; {outside}."
        for label, cost in costs.items()
    ]


def _new_task_lines(data: ReportData) -> list[str]:
    """The wider intervals, of each optimizer in steps: for a claim beyond these tasks."""
    return [
        f"{found.label}, tasks drawn anew too (two-level bootstrap): median in steps "
        f"{ratio_text(found.median, new_tasks=True)}, IQM {ratio_text(found.iqm, new_tasks=True)}."
        for found in data.headlines
        if (found.unit, found.split, found.scope) == ("steps", "train", "headline")
        and found.tasks > 1
    ]


def problem_lines(data: ReportData) -> list[str]:
    """Every note on a task, every task that is not ok, every file that was skipped."""
    lines = []
    for row in data.summary.to_dict("records"):
        if row["notes"] or row["status"] not in ("ok", "censored"):
            notes = f": {row['notes']}" if row["notes"] else ""
            lines.append(f"{row['task']}, {row['label']}: {row['status']}{notes}")
    edges = data.summary.loc[data.summary["best_rate_at_edge"].eq(True)]
    for task in dict.fromkeys(edges["task"]):
        lines.append(
            f"{task}: the best rate is at the edge of the grid; a better one may lie beyond"
        )
    lines += [f"skipped {problem.path}: {problem.reason}" for problem in data.problems]
    return lines
