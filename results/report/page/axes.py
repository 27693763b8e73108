"""Linear and logarithmic axes of the charts of single tasks, with matplotlib's choice of ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator

_LOG_FROM = 6.0
"""Losses that fall by more than this factor are drawn on a logarithmic axis."""


@dataclass(frozen=True)
class Axis:
    """From values to positions.

    Attributes:
      low: value at position 0.
      high: value at ``length``.
      length: in units of the drawing.
      log: whether positions are proportional to logarithms.
    """

    low: float
    high: float
    length: int
    log: bool = False

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Positions of values, which may lie outside."""
        low, high = self.low, self.high
        if self.log:
            low, high = math.log(low), math.log(high)
            values = np.log(np.maximum(values, np.finfo(float).tiny))
        return np.asarray((values - low) / (high - low) * self.length)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Positions and labels of at most ``most`` ticks, or a few more on logarithmic axes."""
        if self.log:
            wide = self.high / self.low
            subs = (1.0,) if wide > 300 else (1.0, 3.0) if wide > 30 else (1.0, 2.0, 5.0)
            values = LogLocator(10, subs=subs, numticks=most).tick_values(self.low, self.high)
        else:
            values = MaxNLocator(most).tick_values(self.low, self.high)
        inside = [float(v) for v in values if self.low <= v <= self.high * (1 + 1e-9)]
        return [(float(self(np.array(v))), f"{v:g}") for v in inside]


def step_axis(last: int, length: int) -> Axis:
    """From 0 to the last step."""
    return Axis(0.0, float(max(last, 1)), length)


def step_ticks(axis: Axis, most: int = 5) -> list[tuple[float, str]]:
    """Positions and labels such as ``20k``."""
    label = EngFormatter(sep="")
    values = MaxNLocator(most, integer=True).tick_values(axis.low, axis.high)
    inside = [float(v) for v in values if axis.low <= v <= axis.high * (1 + 1e-9)]
    return [(float(axis(np.array(v))), label(v)) for v in inside]


def loss_axis(first: float, lowest: float, length: int) -> Axis:
    """From the lowest loss to a little above the first one; what diverges leaves the axis."""
    if lowest > 0 and first / lowest > _LOG_FROM:
        return Axis(lowest / 1.15, first * 1.3, length, log=True)
    span = max(first - lowest, 1e-9)
    return Axis(lowest - 0.06 * span, first + 0.12 * span, length)


def path(x: Sequence[float | int] | np.ndarray, y: Sequence[float | int] | np.ndarray) -> str:
    """SVG path data of a line in whole units, by differences: a third of the plain length.

    Example:
      >>> path([0, 10, 20], [5.2, 4.9, 40])
      'm0 5l10 0 10 35'
    """
    points = np.stack([np.rint(np.asarray(x, float)), np.rint(np.asarray(y, float))], axis=1)
    if len(points) == 0:
        return ""
    jumps = np.diff(points, axis=0).astype(int)
    # Points that coincide in whole units add nothing.
    jumps = jumps[(jumps != 0).any(axis=1)]
    start = f"m{int(points[0, 0])} {int(points[0, 1])}"
    return start + ("l" + " ".join(f"{dx} {dy}" for dx, dy in jumps) if len(jumps) else "h0")
