"""The learning curves of one task as the numbers of an SVG drawing.

The page's template draws it, in the page's colours and at a twentieth of the size of matplotlib's
SVG.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.ticker import EngFormatter, MaxNLocator

from velodrome.results.report.figures.colours import variable
from velodrome.results.report.figures.style import SeriesStyle
from velodrome.results.report.page.axes import Axis, path
from velodrome.results.report.plot_data import panel

WIDTH, HEIGHT = 640, 300
LEFT, TOP, RIGHT, BOTTOM = 52, 8, 14, 40


@dataclass(frozen=True)
class Line:
    """One curve: its class in the style sheet, the colour of its optimizer if any, its path."""

    kind: str
    colour: str
    path: str


@dataclass(frozen=True)
class Cross:
    """The end of a run that diverged."""

    x: int
    y: int
    colour: str


@dataclass(frozen=True)
class Chart:
    """Everything drawn, in units of the drawing; y grows downwards.

    Ticks are positions with labels; ``horizon`` is the position of the candidates' last step, if
    the baseline goes further.
    """

    lines: tuple[Line, ...]
    crosses: tuple[Cross, ...]
    x_ticks: tuple[tuple[int, str], ...]
    y_ticks: tuple[tuple[int, str], ...]
    horizon: int | None
    width: int = WIDTH - LEFT - RIGHT
    height: int = HEIGHT - TOP - BOTTOM


def chart(curves: pd.DataFrame, horizon: int, styles: Mapping[str, SeriesStyle]) -> Chart | None:
    """Lay out the curves of one task; None when there are none.

    Args:
      curves: Rows of ``velodrome.results.report.plot_data.learning_curves``.
      horizon: Last step of the candidates.
    """
    if not len(curves):
        return None
    found = panel(curves, horizon)
    x = Axis(0.0, float(max(found.last, 1)), Chart.width)
    y = Axis(found.low, found.high, Chart.height, found.log)
    lines, crosses = [], []
    for curve in found.curves:
        across, down = x(curve.steps), Chart.height - y(curve.losses)
        # Lines that leave the drawing may leave it by far; browsers need not know how far.
        down = np.clip(down, -Chart.height, 2 * Chart.height)
        colour = variable(styles[curve.label].color) if curve.series == "seed" else ""
        lines.append(Line(curve.series, colour, path(across, down)))
        if curve.stopped:
            crosses.append(Cross(round(across[-1]), round(down[-1]), colour))
    steps = x.ticks(MaxNLocator(5, integer=True), EngFormatter(sep=""))
    losses = y.ticks(found.loss_locator(5))
    return Chart(
        tuple(lines),
        tuple(crosses),
        tuple((round(at), text) for at, text in steps),
        tuple((round(Chart.height - at), text) for at, text in losses),
        round(float(x(np.array(horizon)))) if horizon < found.last else None,
    )
