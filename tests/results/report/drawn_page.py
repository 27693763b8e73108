"""The page of a store without the other files of a report, which take most of its time."""

from __future__ import annotations

from collections.abc import Sequence

from velodrome.results.report.data import collect
from velodrome.results.report.figures.contents import SECTIONS, plots
from velodrome.results.report.figures.drawing import svg
from velodrome.results.report.figures.style import velodrome_style
from velodrome.results.report.figures.svg import page_figure
from velodrome.results.report.page.build import build_page
from velodrome.results.store.store import Store


def drawn_page(store: Store, sections: Sequence[str] = tuple(SECTIONS)) -> str:
    """The page with the figures of some sections."""
    data = collect(store)
    chosen = [plot for plot in plots(data) if plot.section in sections and plot.section != "curves"]
    with velodrome_style():
        return build_page(data, [page_figure(plot, svg(plot.draw())) for plot in chosen])
