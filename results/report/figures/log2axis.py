"""Axes of ratios in powers of two, as speedups are drawn everywhere in a report."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from matplotlib.axes import Axes

# At least 1/4x to 16x; the floor stands in for 0x: what diverged or made no progress.
LOWEST, HIGHEST, DEEPEST = -2, 4, -6
MARGIN = 0.45


def limits(
    values: Iterable[float], *, low: int = LOWEST, high: int = HIGHEST, deepest: int = DEEPEST
) -> tuple[int, int]:
    """Whole powers of two around the finite values, at least ``low`` to ``high``."""
    finite = [value for value in values if math.isfinite(value)]
    return (
        min([low, *(math.floor(max(value, deepest)) for value in finite)]),
        max([high, *(math.ceil(value) for value in finite)]),
    )


def tick(power: int) -> str:
    """``4x``, ``1/4x``."""
    return f"{2**power}x" if power >= 0 else f"1/{2**-power}x"


def set_log2(
    axes: Axes,
    low: int,
    high: int,
    *,
    floor: bool = False,
    zero: str = "0x",
    which: Literal["x", "y"] = "y",
) -> None:
    """Sets limits and ticks of an axis whose data are in log2.

    Args:
      axes: where.
      low: lowest power shown.
      high: highest power shown.
      floor: add a place for 0x, at ``low - MARGIN``.
      zero: what that place is called.
      which: the axis.
    """
    # At most 9 labels: a horizontal axis has no room for more.
    stride = max(1, math.ceil((high - low + 1) / (9 if which == "x" else 14)))
    powers = [p for p in range(low, high + 1) if p % stride == 0]
    ticks, names = [float(p) for p in powers], [tick(p) for p in powers]
    if floor:
        # On a long axis the lowest power's label would touch the floor's.
        if high - low > 9 and ticks[0] == low:
            ticks, names = ticks[1:], names[1:]
        ticks, names = [low - MARGIN, *ticks], [zero, *names]
    span = (low - (0.6 if floor else 0.15), high + 0.15)
    if which == "y":
        axes.set_yticks(ticks, names)
        axes.set_ylim(*span)
    else:
        axes.set_xticks(ticks, names)
        axes.set_xlim(*span)
