"""All figures of a report, in the order of its contents."""

from __future__ import annotations

from collections.abc import Iterator

from results.report import (
    families_plot,
    headline_plot,
    learning_curves,
    overhead_plot,
    profiles_plot,
    sensitivity_plot,
    sorted_speedup,
    time_plot,
)
from results.report.data import ReportData
from results.report.plot import SECTIONS, Plot

__all__ = ["SECTIONS", "Plot", "plots"]

_MODULES = (
    headline_plot,
    sorted_speedup,
    families_plot,
    learning_curves,
    sensitivity_plot,
    profiles_plot,
    overhead_plot,
    time_plot,
)


def plots(data: ReportData) -> Iterator[Plot]:
    """Goes through the figures that the data allow; nothing is drawn before ``draw`` is called."""
    for module in _MODULES:
        yield from module.plots(data)
