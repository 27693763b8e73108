"""The sentences of a report: definitions, intervals, counts, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from velodrome.foundation.text import plural
from velodrome.results.analyses.headline import definition_median, ratio_text
from velodrome.results.analyses.reference import WORDS
from velodrome.results.analyses.tuning import WITHIN
from velodrome.results.report.context import as_long, times
from velodrome.results.report.data import ReportData
from velodrome.results.speedup.definitions import DEFINITIONS, caveat
from velodrome.results.speedup.progress import LEAST_FALL
from velodrome.results.speedup.stats import BAND_SEEDS, FEW_TASKS
from velodrome.results.store.provenance import UNKNOWN


def cost_lines(data: ReportData) -> list[str]:
    """Explain the table of the total tuning cost."""
    context = data.context
    rates = f"all {context.rates} rates of {context.baseline}"
    if context.refined:
        rates = f"all rates of {context.baseline} ({context.rates} on the median task)"
    random = (
        f"how many of them must be tried, for {context.steps:,} steps each, before their expected "
        "best is as good as the candidate, on the mean task."
    )
    if context.refined and context.baseline not in set(data.tuning["label"]):
        random = "not counted, because a refined sweep has other numbers of rates on some tasks."
    return [
        f"All rates: {rates} run to the horizon at which the winner is chosen, against the "
        "candidate's own trials. Rates that are hopeless on every task are paid for too, so this "
        "is what a blind sweep costs.",
        f"Near rates: only those within {WITHIN} steps of the grid from the task's best rate. It "
        f"still credits {context.baseline} with the envelope over all of them.",
        f"Random rates: {random}",
        *meta_training_lines(data),
    ]


def horizon_line(data: ReportData) -> str:
    """Explain the table of wrong declared numbers of steps."""
    return (
        "Optimizers that know how many steps they make, with another number declared. The last "
        "ratio is the median over tasks of the speedup over that with the true number. It is a "
        f"bound (<= or >=) if {data.context.baseline}'s budget bounds one side of it on more than "
        "a quarter of the tasks, and only rough (about) if it bounds both."
    )


def target_line(data: ReportData) -> str:
    """Explain the table of targets, and on what the metric was measured."""
    protocol, baseline = data.context.protocol, data.context.baseline
    every = protocol.get("heldout_every")
    heldout = isinstance(every, int) and "heldout" in set(data.targets["split"])
    found = f", which come every {every:,} steps on the held-out split" if heldout else ""
    batches = protocol.get("eval_batch_count")
    examples = f"{protocol.get('eval_examples')} examples"
    found += f", each on {f'{batches} batches' if batches else examples} at most"
    if protocol.get("eval_mode") == "training-loss":
        found += ", with the model as it is trained, dropout included"
    if corpus := protocol.get("corpus_examples", 0):
        found += (
            f"; corpus metrics, such as BLEU, on {corpus:,} examples at most, with the model as it "
            "is used"
        )
    return (
        f"The first evaluations that reach the target{found}. `at` is the point of the sweep that "
        "gets there first, by the median over seeds. Seconds are those of training steps alone. A "
        f"speedup is {baseline}'s median over that of the optimizer, and a bound (>= or <=, or ~ "
        "for both) where runs that have not reached the target were not followed for long enough."
        + _met_at_once(data)
    )


def _met_at_once(data: ReportData) -> str:
    """Name the tasks whose target holds before the first update: it tells nothing apart."""
    tasks = data.targets.loc[data.targets["steps"] == 0, "task"].unique()
    if not len(tasks):
        return ""
    return f" The target is met before training, and compares nothing, on {', '.join(tasks)}."


def definition_lines(data: ReportData) -> list[str]:
    """List the definitions, with their medians and what to know before believing them."""
    lines = []
    for name, definition in DEFINITIONS.items() if data.context.labels else ():
        medians = "; ".join(_median_by(data, label, name) for label in data.context.labels)
        warning = caveat(name, steps=data.context.steps, eval_every=data.context.eval_every)
        if definition.needs_budget and data.context.stopped:
            warning = "only a sweep to the budget has it (--baseline exhaustive)"
        lines.append(
            f"{name}: median in steps {medians}. {definition.summary[0].upper()}"
            f"{definition.summary[1:]}.{f' Beware: {warning}.' if warning else ''}"
        )
    return lines


def _median_by(data: ReportData, label: str, name: str) -> str:
    found = data.headline_of(label)
    if found is not None and found.few:
        return f"{label}: too few tasks for a median"
    median = ratio_text(definition_median(data.summary, label, name=name))
    return f"{label} {median}{_over_default(data, label, name)}"


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
    return [
        *_interval_lines(data),
        *_unpaired_lines(data),
        *_imported_lines(data),
        f"A speedup in steps cannot exceed {times(context.multiple)}: {as_long(context)}. >= marks "
        "values, aggregates and ends of intervals that are at least this much.",
        *_mode_lines(data),
        *_same_task_lines(data),
        *_left_out_lines(data),
        *(data.counts_of(label) for label in context.labels),
    ]


def _mode_lines(data: ReportData) -> Iterator[str]:
    """Say what it means that the sweep stopped before its budget."""
    context = data.context
    if not context.stopped:
        return
    yield (
        f"{context.baseline}'s sweep ({context.mode}) stopped before its budget on "
        f"{context.stopped} of {plural(context.tasks, 'task')}, on {context.undecided} of them "
        "before all losses were reached. Where they were, under all draws of seeds and on both "
        "splits, a longer sweep would give the same speedups and intervals. What else it had not "
        "reached (along a run, on the way to the best loss, by paper at short horizons) is at "
        "least that far."
    )
    if context.mode.rates:
        yield (
            f"The rates raced: after each stage the best {context.mode.rates} went on, and those "
            "about to join them. A rate that would have come from behind is missed, which makes a "
            "speedup too large."
        )


def _interval_lines(data: ReportData) -> Iterator[str]:
    """Explain the intervals, with the number of seeds that there are, not those planned."""
    known = [found for found in data.headlines if found.tasks]
    if not known:
        return
    seeds = min(found.seeds for found in known)
    if all(found.few for found in known):
        yield (
            f"Fewer than {FEW_TASKS} tasks have no interval for new tasks: each is shown, the "
            f"median of its seeds (at least {plural(seeds, 'seed')})."
        )
        return
    verdict = "too narrow" if seeds < BAND_SEEDS else "indicative"
    yield (
        "Intervals are for new tasks and new seeds (two-level bootstrap, 2,000 draws, each of "
        f"which chooses the rate again); with {plural(seeds, 'seed')} they are {verdict}."
    )


def _left_out_lines(data: ReportData) -> Iterator[str]:
    """Count tasks that are saturated, without progress, or lost by every rate of the baseline."""
    planned, baseline = data.context.tasks, data.context.baseline
    tasks = data.summary.drop_duplicates("index")
    saturated = int(np.sum(tasks["saturated"].eq(True).to_numpy()))
    yield (
        f"Saturated tasks ({saturated} of {planned}) are left out of all medians, shares and "
        "intervals, except in the rows of all tasks."
    )
    still = len(set(data.summary.loc[data.summary["status"] == "no progress", "index"]))
    if still:
        yield (
            f"On {still} of {plural(planned, 'task')} an optimizer makes no progress, nor does "
            f"{baseline}: such a task is left out for that optimizer. A run makes progress if its "
            f"loss falls below its own first one by more than {LEAST_FALL:.1%} of it, and by more "
            "than noise alone would make the lowest of its evaluations fall "
            "(docs/explanation/censoring.md says where these come from)."
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


def _imported_lines(data: ReportData) -> Iterator[str]:
    for label in data.context.imported:
        yield (
            f"{label}: its curves were made elsewhere. Their steps were checked, and not how they "
            "were made: only the person who imported them says that they are of these tasks, and "
            "how their losses were taken. They have no seconds."
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


def _same_task_lines(data: ReportData) -> Iterator[str]:
    """Report the narrower intervals, in steps: they say nothing beyond these tasks."""
    if not any(h.tasks for h in data.headlines):
        yield "There are no intervals: no task has a speedup."
        return
    if all(np.isnan(h.median.same_tasks.low) for h in data.headlines):
        yield "There are no intervals for the same tasks: no task has two seeds of any optimizer."
        return
    for label in data.context.labels:
        found = data.headline_of(label)
        if found is not None and not found.few:
            yield (
                f"{label}, for the same tasks and new seeds (stratified bootstrap): median in "
                f"steps {ratio_text(found.median, same_tasks=True)}, IQM "
                f"{ratio_text(found.iqm, same_tasks=True)}."
            )


def edge_text(name: str) -> str:
    """Say that the best point named in the summary is at the edge of the grid."""
    what = {
        "best_rate": "the best rate",
        "best_rate_at_budget": "the best single rate, at the end of the baseline's budget,",
        "candidate_point": "its own best point",
    }
    return f"{what[name]} is at the edge of the grid; a better one may lie beyond"


def problem_lines(data: ReportData) -> list[str]:
    """List every note on a task, every task that is not ok, and every file that was skipped."""
    lines = []
    for row in data.summary.to_dict("records"):
        if row["notes"] or row["status"] not in ("ok", "censored"):
            notes = f": {row['notes']}" if row["notes"] else ""
            lines.append(f"{row['task']}, {row['label']}: {row['status']}{notes}")
    for name in ("best_rate", "best_rate_at_budget", "candidate_point"):
        edges = data.summary.loc[data.summary[f"{name}_at_edge"].eq(True)]
        own = name == "candidate_point"
        who = edges["task"] + ", " + edges["label"] if own else edges["task"]
        lines += [f"{task}: {edge_text(name)}" for task in dict.fromkeys(who)]
    return lines + [f"skipped {problem.path}: {problem.reason}" for problem in data.problems]
