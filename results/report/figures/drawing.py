"""Draws the figures of a report into files: one after another, or in several processes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import joblib

from velodrome.results.report.figures.figure import Plot
from velodrome.results.report.figures.style import save, svg, velodrome_style
from velodrome.results.report.figures.svg import PageFigure, page_figure

#: Reports of so many tasks and more are drawn by several processes: their start takes some seconds.
PARALLEL_FROM = 24


@dataclass(frozen=True)
class Drawn:
    """A figure that is drawn.

    Attributes:
      files: PNG, PDF and SVG.
      shown: for the page; None for curves of tasks, which the page draws itself.
    """

    files: tuple[Path, ...]
    shown: PageFigure | None


def draw(plot: Plot, target: Path) -> Drawn:
    """Draws one figure.

    Args:
      plot: what to draw.
      target: directory of the files.

    Raises:
      VelodromeError: a file cannot be written.
    """
    with velodrome_style():
        figure = plot.draw()
        shown = None if plot.section == "curves" else page_figure(plot, svg(figure))
        return Drawn(save(figure, target / plot.name, caption=plot.caption), shown)


def draw_all(plots: Iterable[Plot], target: Path, *, processes: int = 1) -> list[Drawn]:
    """Draws figures, in their order; the files do not depend on the number of processes.

    Args:
      plots: what to draw.
      target: directory of the files.
      processes: how many draw at the same time.

    Raises:
      VelodromeError: a file cannot be written.
    """
    if processes <= 1:
        return [draw(plot, target) for plot in plots]
    # Not the standard library's processes, which run the user's script once more from its top.
    drawn = joblib.Parallel(processes)(joblib.delayed(draw)(plot, target) for plot in plots)
    return cast(list[Drawn], drawn)


def processes_for(tasks: int) -> int:
    """How many processes draw the report of so many tasks."""
    return joblib.cpu_count() if tasks >= PARALLEL_FROM else 1
