"""The learning curves of one task as the numbers of an SVG drawing.

The same table that the small multiples are drawn from; here the drawing is left to the page's
template, which gives it the page's colours at a twentieth of the size of matplotlib's SVG.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from velodrome.results.report.figures.colours import variable
from velodrome.results.report.page.axes import Axis, loss_axis, path, step_axis, step_ticks

WIDTH, HEIGHT = 640, 300
LEFT, TOP, RIGHT, BOTTOM = 52, 8, 14, 40
_CLASSES = {"rate": "rate", "envelope": "envelope", "best": "best", "published": "published"}
# Faint lines first, so that they lie below.
_ORDER = ("rate", "envelope", "best", "published", "seed")


@dataclass(frozen=True)
class Line:
    """One curve: its class in the style sheet, its own colour if it has one, its path."""

    kind: str
    colour: str
    path: str


@dataclass(frozen=True)
class Cross:
    """Where a run ended before its horizon."""

    x: int
    y: int
    colour: str


@dataclass(frozen=True)
class Chart:
    """Everything drawn, in units of the drawing; y grows downwards.

    Attributes:
      lines: in the order of drawing.
      crosses: ends of runs that diverged.
      x_ticks: position and label.
      y_ticks: the same.
      horizon: position of the candidates' last step.
    """

    lines: tuple[Line, ...]
    crosses: tuple[Cross, ...]
    x_ticks: tuple[tuple[int, str], ...]
    y_ticks: tuple[tuple[int, str], ...]
    horizon: int | None
    width: int = WIDTH - LEFT - RIGHT
    height: int = HEIGHT - TOP - BOTTOM


def chart(
    curves: pd.DataFrame, rows: list[dict[Any, Any]], looks: Mapping[str, tuple[str, str]]
) -> Chart | None:
    """Lays out the curves of one task; None when there are none.

    Args:
      curves: of this task; see ``velodrome.results.report.plot_data.learning_curves``.
      rows: its rows of the summary.
      looks: colour and marker of each optimizer.
    """
    if not len(curves):
        return None
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    steps, losses = curves["step"].to_numpy(float), curves["loss"].to_numpy(float)
    x = step_axis(int(steps.max()), width)
    y = _loss_axis(curves["series"].to_numpy(), steps, losses, height)
    horizon = max((int(row["steps"]) for row in rows), default=0)
    lines, crosses = [], []
    keys = ["series", "label", "rate", "seed"]
    parts = [part for _, part in curves.groupby(keys, sort=False, dropna=False)]
    for part in sorted(parts, key=lambda part: _ORDER.index(part["series"].iloc[0])):
        series, label = part["series"].iloc[0], part["label"].iloc[0]
        across, down = x(part["step"].to_numpy(float)), height - y(part["loss"].to_numpy(float))
        # What leaves the drawing may leave it by much; browsers need not know by how much.
        down = np.clip(down, -height, 2 * height)
        colour = variable(looks[str(label)][0]) if series == "seed" else ""
        lines.append(Line(_CLASSES.get(str(series), "seed"), colour, path(across, down)))
        if series == "seed" and part["step"].iloc[-1] < horizon:
            crosses.append(Cross(round(across[-1]), round(down[-1]), colour))
    return Chart(
        tuple(lines),
        tuple(crosses),
        tuple((round(at), text) for at, text in step_ticks(x)),
        tuple((round(height - at), text) for at, text in y.ticks(5)),
        round(float(x(np.array(horizon)))) if horizon < steps.max() else None,
    )


def _loss_axis(series: np.ndarray, steps: np.ndarray, losses: np.ndarray, length: int) -> Axis:
    first = float(np.median(losses[steps == steps.min()]))
    # The envelope and the candidates decide; an incomplete sweep may have nothing but rates.
    chosen = series != "rate"
    lowest = float(losses[chosen if chosen.any() else slice(None)].min())
    return loss_axis(first, lowest, length)
