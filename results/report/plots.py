"""All figures of a report, in the order of its contents."""

from __future__ import annotations

from collections.abc import Iterator

from results.report import learning_curves, sorted_speedup
from results.report.data import ReportData
from results.report.plot import SECTIONS, Plot

__all__ = ["SECTIONS", "Plot", "plots"]

_MODULES = (sorted_speedup, learning_curves)


def plots(data: ReportData) -> Iterator[Plot]:
    """Goes through the figures that the data allow; nothing is drawn before ``draw`` is called."""
    for module in _MODULES:
        yield from module.plots(data)
