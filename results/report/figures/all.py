"""All figures of a report, in the order of its contents."""

from __future__ import annotations

from collections.abc import Iterator

from velodrome.results.report.data import ReportData
from velodrome.results.report.figures import families as families_plot
from velodrome.results.report.figures import headline as headline_plot
from velodrome.results.report.figures import learning_curves, sorted_speedup
from velodrome.results.report.figures import overhead as overhead_plot
from velodrome.results.report.figures import profiles as profiles_plot
from velodrome.results.report.figures import sensitivity as sensitivity_plot
from velodrome.results.report.figures import time as time_plot
from velodrome.results.report.figures.figure import SECTIONS, Plot

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
