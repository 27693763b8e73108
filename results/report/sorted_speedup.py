"""The sorted speedup curve: one line per optimizer over task percentiles.

The figure of Metz et al. 2022 (arXiv 2211.09760, figure 1), on the same axes.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.report.context import Context, times
from results.report.style import looks, new_figure, wrapped

_WIDTH, _HEIGHT = 4.6, 3.7
# At least 1/4x to 16x; the floor stands in for 0x: what diverged or made no progress.
_LOW, _HIGH, _DEEPEST = -2, 4, -6


def draw(table: pd.DataFrame, context: Context, *, counts: str, unit: str = "steps") -> Figure:
    """Draws the curve.

    Args:
      table: see ``results.report.plotdata.sorted_speedups``.
      context: what the results are of.
      counts: how many tasks are censored, saturated, ...; part of the caption.
      unit: ``"steps"`` or ``"seconds"``.
    """
    figure = new_figure(_WIDTH, _HEIGHT)
    axes = figure.add_subplot()
    finite = table.loc[np.isfinite(table["log2_speedup"]), "log2_speedup"]
    low = min(_LOW, math.floor(max(finite.min(), _DEEPEST))) if len(finite) else _LOW
    high = max(_HIGH, math.ceil(finite.max())) if len(finite) else _HIGH
    floor = low - 0.45
    styles = looks(context.labels)
    cap = math.log2(context.multiple) if unit == "steps" and context.multiple > 0 else None
    _axes(axes, context, unit=unit, low=low, high=high, floor=floor)
    if cap is not None:
        _ceiling(axes, context, cap=cap, high=high)
    drawn = [label for label in context.labels if (table["label"] == label).any()]
    for position, label in enumerate(drawn):
        rows = table[table["label"] == label]
        _line(axes, rows, label=label, look=styles[label], floor=floor, nudge=0.07 * position)
    if drawn:
        _legend(axes, many=len(drawn) > 4)
    else:
        text = f"no task has a speedup in {unit}"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color="#666666")
    marks = "Triangles: at least this much. Crosses: diverged or no progress (0x)."
    if unit == "seconds":
        marks += f" Step times were measured in turns with {context.baseline} on one machine."
    caption = f"{context.line} {counts} {marks}"
    figure.supxlabel(
        wrapped(caption, width_inches=_WIDTH), fontsize=6.5, color="#555555", x=0.02, ha="left"
    )
    return figure


def _axes(axes: Axes, context: Context, *, unit: str, low: int, high: int, floor: float) -> None:
    ticks = list(range(low, high + 1))
    axes.set_xlim(0, 100)
    axes.set_ylim(floor - 0.15, high + 0.15)
    axes.set_yticks(ticks, [_tick(tick) for tick in ticks])
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("task percentile")
    axes.set_ylabel(f"speedup over {context.tuned}, in {unit}")
    axes.axhline(0, color="#333333", linewidth=0.8, zorder=1)


def _ceiling(axes: Axes, context: Context, *, cap: float, high: int) -> None:
    """Shades what cannot be observed and says why."""
    axes.axhspan(cap, high + 0.15, color="#f3f3f3", zorder=0.5, linewidth=0)
    axes.axhline(cap, color="#888888", linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    much = times(context.multiple)
    text = f"cannot exceed {much}: {context.baseline} was run {much[:-1]} times as long"
    axes.annotate(
        text, (1.5, cap), xytext=(0, 11), textcoords="offset points", fontsize=6.5, color="#555555"
    )


def _line(
    axes: Axes,
    rows: pd.DataFrame,
    *,
    label: str,
    look: tuple[str, str],
    floor: float,
    nudge: float,
) -> None:
    """One optimizer; ``nudge`` keeps marks of several at the same height apart."""
    color, marker = look
    x, y = rows["percentile"].to_numpy(), rows["log2_speedup"].to_numpy()
    right = (rows["censored"] == "right").to_numpy()
    zero = y < floor + 0.45 - 1e-9
    seen = ~zero & ~right
    size = 4.0 if len(rows) <= 20 else 2.2
    axes.plot(x[~zero], y[~zero], color=color, linewidth=0.9, alpha=0.45, linestyle=":")
    axes.plot(
        x[seen], y[seen], color=color, marker=marker, markersize=size, label=label,
        markeredgewidth=0, clip_on=False, zorder=3,
    )  # fmt: skip
    axes.plot(
        x[right], y[right] + 0.1 + nudge, color=color, marker="^", linestyle="none",
        markersize=size + 2, markeredgecolor="white", markeredgewidth=0.4, clip_on=False, zorder=4,
    )  # fmt: skip
    axes.plot(
        x[zero], np.full(zero.sum(), floor) + nudge, color=color, marker="x", linestyle="none",
        markersize=size + 1, markeredgewidth=1.1, clip_on=False, zorder=4,
    )  # fmt: skip


def _legend(axes: Axes, *, many: bool) -> None:
    """Below the 1x line on the right, where a rising curve leaves room; above if there are many."""
    if many:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, columnspacing=1.2)
    else:
        axes.legend(loc="lower right", borderaxespad=0.8, labelspacing=0.3)


def _tick(power: int) -> str:
    return f"{2**power}x" if power >= 0 else f"1/{2**-power}x"
