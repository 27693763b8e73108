"""The contents of a report: its sections, and its figures in their order."""

from __future__ import annotations

from collections.abc import Iterator

from velodrome.results.report.data import ReportData
from velodrome.results.report.figures import (
    budget,
    families,
    headline,
    horizon,
    learning_curves,
    overhead,
    profiles,
    sensitivity,
    sorted_speedup,
    time,
)
from velodrome.results.report.figures.figure import Plot

SECTIONS = {
    "headline": "Headline",
    "speedup": "Speedup over tasks",
    "families": "By family",
    "curves": "Learning curves",
    "tuning": "Learning rates and tuning",
    "cost": "Total tuning cost",
    "horizon": "Wrong numbers of steps",
    "profiles": "Performance profiles and pairs",
    "overhead": "Overhead",
    "time": "Time to loss",
    "failures": "Failures and provenance",
}
"""Titles of the sections in their order, by the name that a plot's section gives."""
MODULES = (
    headline, sorted_speedup, families, learning_curves, sensitivity, budget, horizon, profiles,
    overhead, time,
)  # fmt: skip


def plots(data: ReportData) -> Iterator[Plot]:
    """Yield the figures that the data allow; nothing is drawn before ``draw`` is called."""
    for module in MODULES:
        yield from module.plots(data)
