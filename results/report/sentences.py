"""The sentences of a report: definitions, intervals, counts, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterator

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
    """List the definitions, with their medians and what to know before believing them."""
    lines = []
    for name, definition in DEFINITIONS.items() if data.context.labels else ():
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
    table = data.definitions
    found = table.loc[(table["label"] == label) & (table["definition"] == name), "over_default"]
    if name == "default" or found.empty or np.isnan(found.iloc[0]):
        return ""
    return f" ({found.iloc[0]:.2f} times the median by default)"


def published_line(data: ReportData) -> str:
    """Explain the table beside the published baseline, and name the file it comes from."""
    assert data.reference is not None  # the table has rows
    return (
        f"{data.context.baseline} in this store ({data.context.data}) beside the published "
        f"envelope of {WORDS[data.reference.kind]} ({data.reference.origin}). The ratio is the "
        "number of steps that the published envelope needs to reach our loss, over our steps: "
        "above 1x ours is faster. The two compare only on the real data, under the published "
        "protocol."
    )


def count_lines(data: ReportData) -> list[str]:
    """Explain the intervals, and count the tasks that are censored, saturated, incomplete, ..."""
    context = data.context
    if not context.labels:
        return [f"There are no speedups: no optimizer besides {context.baseline}."]
    if not context.baseline_ran:
        return [f"There are no speedups: {context.baseline}, the baseline, has not been run."]
    rates = "the one rate" if context.rates == 1 else f"all {context.rates} rates"
    return [
        *_interval_lines(data),
        *_unpaired_lines(data),
        f"A speedup in steps cannot exceed {times(context.multiple)}: {context.baseline} was run "
        f"{times(context.multiple)[:-1]} times as long. >= marks values, aggregates and ends of "
        "intervals that are at least this much.",
        *_new_task_lines(data),
        *_left_out_lines(data),
        f"Total tuning cost: {rates} of {context.baseline} against the candidate's own trials.",
        *meta_training_lines(data),
        *(data.counts_of(label) for label in context.labels),
    ]


def _interval_lines(data: ReportData) -> Iterator[str]:
    """Explain the intervals, with the number of seeds that there are, not those planned."""
    known = [found for found in data.headlines if found.tasks]
    if not known:
        return
    if all(np.isnan(found.median.same_tasks.low) for found in known):
        yield "There are no intervals for the same tasks: no task has two seeds of any optimizer."
        return
    seeds = min(found.seeds for found in known)
    verdict = "too narrow" if seeds < BAND_SEEDS else "indicative"
    yield (
        "Intervals are for the same tasks and new seeds (stratified bootstrap, 2,000 draws, each "
        f"of which chooses the rate again); with {plural(seeds, 'seed')} they are {verdict}."
    )


def _left_out_lines(data: ReportData) -> Iterator[str]:
    """Count tasks that are saturated, and those on which the baseline diverged at every rate."""
    planned, baseline = data.context.tasks, data.context.baseline
    tasks = data.summary.drop_duplicates("index")
    saturated = int(np.sum(tasks["saturated"].eq(True).to_numpy()))
    yield (
        f"Saturated tasks ({saturated} of {planned}) are left out of all medians, shares and "
        "intervals, except in the rows of all tasks."
    )
    diverged = int(np.isposinf(tasks["baseline_train_at_budget"].to_numpy(float)).sum())
    if diverged:
        yield (
            f"On {diverged} of {plural(planned, 'task')} {baseline} diverged at every rate: there "
            "is no best rate, and a candidate that did not diverge has a lower bound (>=), unless "
            f"{baseline} had reached its loss before."
        )


def _unpaired_lines(data: ReportData) -> Iterator[str]:
    for label in data.context.labels:
        paired = data.summary.loc[data.summary["label"] == label, "paired"].dropna()
        apart = int(paired.eq(False).sum())
        if apart:
            yield (
                f"{label} is not paired on {apart} of {plural(len(paired), 'task')}: its seeds "
                f"are not exactly those of {data.context.baseline}, so all of them are drawn "
                "independently, even those that both have."
            )


def meta_training_lines(data: ReportData) -> list[str]:
    """Report the cost of meta-training of each optimizer that has one; it is not counted."""
    outside = "paid once, and not counted in any number here"
    costs = data.context.meta_training
    if not costs:
        return [f"The cost of meta-training a learned optimizer is {outside}."]
    return [
        f"{label}: the cost of meta-training is {UNKNOWN}; it is {outside}."
        if cost == UNKNOWN
        else f"{label}: meta-training took {cost}; {outside}."
        for label, cost in costs.items()
    ]


def _new_task_lines(data: ReportData) -> list[str]:
    """Report the wider intervals, in steps: for a claim beyond these tasks."""
    return [
        f"{found.label}, for new tasks and new seeds (two-level bootstrap): median in steps "
        f"{ratio_text(found.median, new_tasks=True)}, IQM {ratio_text(found.iqm, new_tasks=True)}."
        for found in data.headlines
        if (found.unit, found.split, found.scope) == ("steps", "train", "headline")
        and found.tasks > 1
    ]


def problem_lines(data: ReportData) -> list[str]:
    """List every note on a task, every task that is not ok, and every file that was skipped."""
    lines = []
    for row in data.summary.to_dict("records"):
        if row["notes"] or row["status"] not in ("ok", "censored"):
            notes = f": {row['notes']}" if row["notes"] else ""
            lines.append(f"{row['task']}, {row['label']}: {row['status']}{notes}")
    edges = data.summary.loc[data.summary["best_rate_at_edge"].eq(True)]
    lines += [
        f"{task}: the best rate is at the edge of the grid; a better one may lie beyond"
        for task in dict.fromkeys(edges["task"])
    ]
    return lines + [f"skipped {problem.path}: {problem.reason}" for problem in data.problems]
