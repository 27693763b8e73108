"""Axes of ratios in powers of two, on which a report draws all speedups."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

# At least 1/4x to 16x; the floor stands for 0x: what diverged or made no progress.
LOWEST, HIGHEST, DEEPEST = -2, 4, -6
MARGIN = 0.45


def log2(values: np.ndarray | pd.Series | pd.DataFrame) -> np.ndarray:
    """Return logarithms of ratios, without a warning about the -inf of 0x."""
    with np.errstate(divide="ignore"):
        return np.log2(np.asarray(values, dtype=float))


def limits(
    values: Iterable[float], *, low: int = LOWEST, high: int = HIGHEST, deepest: int = DEEPEST
) -> tuple[int, int]:
    """Return whole powers of two around the finite values, at least ``low`` to ``high``."""
    finite = [value for value in values if math.isfinite(value)]
    return (
        min([low, *(math.floor(max(value, deepest)) for value in finite)]),
        max([high, *(math.ceil(value) for value in finite)]),
    )


def set_log2(
    axes: Axes,
    low: int,
    high: int,
    *,
    floor: bool = False,
    zero: str = "0x",
    which: Literal["x", "y"] = "y",
) -> None:
    """Set limits and ticks of an axis whose data are in log2, and draw a line at 1x.

    Args:
      floor: Whether to add a place for 0x, at ``low - MARGIN``.
    """
    # At most 9 labels: a horizontal axis has no room for more.
    stride = max(1, math.ceil((high - low + 1) / (9 if which == "x" else 14)))
    powers = [p for p in range(low, high + 1) if p % stride == 0]
    ticks = [float(power) for power in powers]
    names = [f"{2**power}x" if power >= 0 else f"1/{2**-power}x" for power in powers]
    if floor:
        # On a long axis the lowest power's label would touch the floor's.
        if high - low > 9 and ticks[0] == low:
            ticks, names = ticks[1:], names[1:]
        ticks, names = [low - MARGIN, *ticks], [zero, *names]
    span = (low - (0.6 if floor else 0.15), high + 0.15)
    if which == "y":
        axes.set_yticks(ticks, names)
        axes.set_ylim(*span)
        axes.axhline(0, color="#333333", linewidth=0.8, zorder=1)
    else:
        axes.set_xticks(ticks, names)
        axes.set_xlim(*span)
        axes.axvline(0, color="#333333", linewidth=0.8, zorder=1)
