"""The verdict in sentences: which optimizer is best, by how much, and which rates to use."""

from __future__ import annotations

import numpy as np

from velodrome.foundation.text import plural
from velodrome.results.analyses.headline import Headline, ratio_text
from velodrome.results.analyses.verdict import advice, lead, ranked, significance
from velodrome.results.report.data import ReportData
from velodrome.results.speedup.comparison import SATURATED_BELOW
from velodrome.results.speedup.stats import Aggregate

# More optimizers than this have their rates in brackets.
_MANY = 3


def verdict_lines(data: ReportData) -> list[str]:
    """Say in three sentences which optimizer is best, by how much, and which rates to use.

    Where no task counts, two sentences say why, and which rates to use; none without a candidate.
    """
    first = ranked(data.headlines)
    if not first:
        return [_no_task_counts(data), _rates(data)] if data.context.labels else []
    lines = [_best_in_steps(data, first), _in_seconds(data, first)]
    return [*lines, _rates(data)]


def _no_task_counts(data: ReportData) -> str:
    tuned, saturated = data.context.tuned, data.summary["saturated"].eq(True).to_numpy().any()
    why = (
        f" A task is saturated where {tuned} falls below {SATURATED_BELOW:.0%} of its initial "
        "loss: harder tasks tell optimizers apart."
    )
    return f"No verdict, as no task counts. {data.counts()}{why if saturated else ''}"


def _best_in_steps(data: ReportData, first: list[Headline]) -> str:
    many, few = ([h for h in first if h.few == is_few] for is_few in (False, True))
    each = "; ".join(f"{h.label}: {h.each}" for h in few)
    if not many:
        fewest, most = (pick(h.tasks for h in few) for pick in (min, max))
        tasks = plural(most, "task") if fewest == most else f"{fewest} to {most} tasks"
        return (
            f"Too few tasks for a verdict: speedups in steps over {data.context.tuned} on {tasks} "
            f"({data.context.data}): {each}."
        )
    best = _best_of(data, many)
    return f"{best} On too few tasks to be ranked: {each}." if few else best


def _best_of(data: ReportData, first: list[Headline]) -> str:
    best, tuned = first[0], data.context.tuned
    tasks = f"{plural(best.tasks, 'task')} ({data.context.data})"  # before any number
    if best.median.value > 1:
        text = f"Best in steps on {tasks}: {best.label}, with a median speedup over {tuned} of"
    else:
        text = f"Best in steps on {tasks}: {tuned}; next is {best.label}, with a median speedup of"
    text += f" {best.median_text()}, {significance_text(best.median)}"
    if len(first) == 1:
        return text + "."
    found, second = lead(data.results, best.label, first[1].label), first[1]
    text += f"; then {second.label}, {second.median_text()}"
    if second.tasks != best.tasks:
        text += f" on {plural(second.tasks, 'task')}"
    if found.undecided:
        return text + f" (which of the two is faster is not decided within {tuned}'s budget)."
    if np.isnan(found.ratio.new_tasks.low) or not np.isfinite(found.ratio.value):
        return text + "."
    sure = "significant" if significance(found.ratio) else "not significant"
    ratio = f"{best.label} over it on {plural(found.tasks, 'task')}: {ratio_text(found.ratio)}"
    return text + f" ({ratio}, {sure})."


def _in_seconds(data: ReportData, first: list[Headline]) -> str:
    seconds = ranked(data.headlines, unit="seconds")
    if not seconds:
        return "In seconds nothing is known: no step times were measured."
    apart = len({h.tasks for h in seconds}) > 1
    parts = [
        f"{h.label} {h.median_text()}{'' if h.few else ', ' + significance_text(h.median)}"
        + (f", on {plural(h.tasks, 'task')}" if apart else "")
        for h in seconds[:3]
    ]
    more = f"; {plural(len(seconds) - 3, 'other')} below" if len(seconds) > 3 else ""
    where = "" if seconds[0].few else " (median)"
    return f"In seconds{where}: {'; '.join(parts)}{more}."


def significance_text(found: Aggregate) -> str:
    """Say whether a median speedup is significant, by its interval for new tasks."""
    if np.isnan(found.new_tasks.low):
        return "without an interval"
    verdict = significance(found)
    return ("not significant", "significantly faster", "significantly slower")[verdict]


def _rates(data: ReportData) -> str:
    if len(data.context.labels) > _MANY:
        return _many_rates(data)
    parts = []
    for label in (data.context.baseline, *data.context.labels):
        swept = label in set(data.sensitivity["label"])
        none = "no point learns anything" if swept else "nothing was swept"
        parts.append(f"{label}: {rate_text(data, label) or none}")
    said = "; ".join(parts)
    return f"{start_word(said)} to start from, after {data.context.steps:,} steps: {said}."


def _many_rates(data: ReportData) -> str:
    """Say only which rate, and on how many tasks it is good: else the line is a paragraph."""
    parts = []
    for label in (data.context.baseline, *data.context.labels):
        found = advice(data.sensitivity, label, steps=data.context.steps)
        if found is not None:
            parts.append(f"{label} {found.point} ({found.near} of {found.tasks})")
    after = f"after {data.context.steps:,} steps"
    meaning = "in brackets: tasks on which it is within 10% of the best"
    said = ", ".join(parts)
    return f"{start_word(said)}s to start from, {after} ({meaning}): {said}."


def start_word(said: str) -> str:
    """Return what to start from: points that are no plain rates are written as ``name=value``."""
    return "Point" if "=" in said else "Rate"


def rate_text(data: ReportData, label: str) -> str:
    """Return the rate to start from, and on how many tasks it is good; empty without one."""
    found = advice(data.sensitivity, label, steps=data.context.steps)
    if found is None:
        return ""
    edge = f", best at an edge of the grid on {found.edge}" if found.edge else ""
    return f"{found.point}, within 10% of the best on {found.near} of {found.tasks}{edge}"
