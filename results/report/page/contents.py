"""Tables and notes of each section of the page, beside its figures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from velodrome.results.analyses.headline import HEADLINE_UNITS, ratio_text
from velodrome.results.report.data import ReportData
from velodrome.results.report.figures.families import worst_text
from velodrome.results.report.page.tables import PageTable, frame_table, readable, text_table
from velodrome.results.report.sentences import (
    cost_lines,
    count_lines,
    definition_lines,
    horizon_line,
    problem_lines,
    published_line,
    target_line,
)
from velodrome.results.report.tables import (
    NOTHING,
    TextTable,
    cost_table,
    family_median,
    headline_table,
    horizon_table,
    published_comparison,
    target_table,
)

_FROM = "95% (same tasks) from"

# Name of a table of the report -> its caption and the titles of the columns shown.
_FRAMES: dict[str, dict[str, tuple[str, dict[str, str]]]] = {
    "profiles": {
        "profile_scores": (
            "Scores of the performance profiles",
            {
                "label": "Optimizer", "against": "Against", "score": "Score", "low": _FROM,
                "high": "to", "tasks": "Tasks",
            },
        ),
        "pairs": (
            "Probability of improvement",
            {
                "label": "Optimizer", "other": "Over", "probability": "Probability",
                "low": _FROM, "high": "to", "tasks": "Tasks",
            },
        ),
    },
    "failures": {
        "failures": (
            "What went wrong",
            {
                "task": "Task", "label": "Optimizer", "what": "What", "kind": "Kind",
                "where": "Where", "why": "Why", "time": "When",
            },
        ),
        "provenance": ("Where the numbers come from", {"what": "What", "value": "Value"}),
        "specs": (
            "Tasks and their data",
            {
                "task": "Task", "family": "Family", "hash": "Hash of the spec", "data": "Data",
                "provenance": "Kind of data", "data_hash": "Hash of the data",
                "batch_size": "Batch", "parameters": "Parameters",
            },
        ),
    },
}  # fmt: skip
_HASHES = ("hash", "data_hash")


@dataclass(frozen=True)
class Summary:
    """The card of an optimizer: median speedups with their intervals, and counts of tasks."""

    label: str
    steps: str
    seconds: str
    counts: str


def headlines(data: ReportData) -> tuple[Summary, ...]:
    """Make one card per optimizer, the fastest in steps first."""
    found = []
    for label in data.context.labels:
        shown = [data.headline_of(label, unit=unit) for unit in HEADLINE_UNITS]
        steps, seconds = (readable(h.median_text()) if h else NOTHING for h in shown)
        median = shown[0].median.value if shown[0] else math.nan
        rank = -math.inf if math.isnan(median) else median
        found.append((rank, Summary(label, steps, seconds, data.counts_of(label))))
    return tuple(summary for _, summary in sorted(found, key=lambda one: -one[0]))


def tables(data: ReportData, section: str) -> Iterator[PageTable]:
    """Yield the tables of a section, without those that have no rows."""
    if section == "headline":
        yield text_table("Speedups", headline_table(data))
    if section == "cost" and len(data.tuning_cost):
        yield text_table("Speedups at equal total cost of tuning", cost_table(data))
    if section == "horizon" and len(data.horizon):
        yield text_table(
            "Speedups with another number of steps declared", horizon_table(data.horizon)
        )
    if section == "time" and len(data.targets):
        yield text_table("Steps and seconds to the target", target_table(data.targets))
    if section == "speedup" and len(data.published):
        yield text_table(published_line(data), published_comparison(data.published))
    if section == "families" and len(data.families):
        yield _families(data)
    frames = data.tables()
    for name, (caption, titles) in _FRAMES.get(section, {}).items():
        if len(frames[name]):
            yield frame_table(caption, frames[name], titles, minor=_HASHES)


def _families(data: ReportData) -> PageTable:
    """Mark bounds, of the median and of the worst task."""
    header = ["Family", "Optimizer", "Speedup in", "Tasks", "Censored", "Median [95%, same tasks]"]
    rows = []
    for row in data.families.to_dict("records"):
        counts = [str(row["tasks"]), str(row["censored"])]
        median = row["each"] or ratio_text(family_median(row), same_tasks=True)
        start = [row["family"], row["label"], row["unit"], *counts, median]
        rows.append([*start, worst_text(row, data.summary)])
    return text_table("Speedups by family of tasks", TextTable([*header, "Worst task"], rows))


def notes(data: ReportData, section: str) -> tuple[str, ...]:
    """Return the paragraphs of a section."""
    if section == "headline":
        lines = (*count_lines(data), *definition_lines(data))
        return tuple(readable(line).replace("`", "") for line in lines)
    if section == "cost" and len(data.tuning_cost):
        return tuple(map(readable, cost_lines(data)))
    if section == "horizon" and len(data.horizon):
        return (readable(horizon_line(data)),)
    if section == "time" and len(data.targets):
        return (readable(target_line(data)).replace("`", ""),)
    if section == "failures":
        return tuple(map(readable, problem_lines(data))) or ("Nothing failed.",)
    return ()
