"""The page of a store without the other files of a report, which take most of its time."""

from __future__ import annotations

from collections.abc import Sequence

from results.report.data import collect
from results.report.page.build import build_page
from results.report.page.figures import page_figure
from results.report.plot import SECTIONS
from results.report.plots import plots
from results.report.style import svg, velodrome_style
from results.store import Store


def drawn_page(store: Store, sections: Sequence[str] = tuple(SECTIONS)) -> str:
    """The page with the figures of some sections."""
    data = collect(store)
    chosen = [plot for plot in plots(data) if plot.section in sections and plot.section != "curves"]
    with velodrome_style():
        return build_page(data, [page_figure(plot, svg(plot.draw())) for plot in chosen])
