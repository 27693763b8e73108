"""Axes and paths of the page's charts, with matplotlib's choice of ticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import Locator


@dataclass(frozen=True)
class Axis:
    """From values to positions: from ``low`` at 0 to ``high`` at ``length``."""

    low: float
    high: float
    length: int
    log: bool = False

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return positions of values, which may lie outside."""
        low, high = self.low, self.high
        if self.log:
            low, high = math.log(low), math.log(high)
            values = np.log(np.maximum(values, np.finfo(float).tiny))
        return np.asarray((values - low) / (high - low) * self.length)

    def ticks(
        self, locator: Locator, label: Callable[[float], str] = "{:g}".format
    ) -> list[tuple[float, str]]:
        """Return positions and labels of the ticks inside the axis."""
        values = locator.tick_values(self.low, self.high)
        inside = [float(v) for v in values if self.low <= v <= self.high * (1 + 1e-9)]
        return [(float(self(np.array(v))), label(v)) for v in inside]


def path(x: Sequence[float | int] | np.ndarray, y: Sequence[float | int] | np.ndarray) -> str:
    """Return SVG path data of a line in whole units, by differences: a third of the plain length.

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
