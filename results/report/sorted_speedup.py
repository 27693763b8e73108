"""The sorted speedup curve: one line per optimizer over task percentiles.

The figure of Metz et al. 2022 (arXiv 2211.09760, figure 1), on the same axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from results.headline import ratio_text, share_text
from results.report.context import Context, times
from results.report.data import ReportData
from results.report.plot import Plot
from results.report.plotdata import sorted_speedups
from results.report.style import looks, new_figure

_WIDTH, _HEIGHT = 4.6, 3.2
# At least 1/4x to 16x; the floor stands in for 0x: what diverged or made no progress.
_LOW, _HIGH, _DEEPEST = -2, 4, -6


def plots(data: ReportData) -> Iterator[Plot]:
    """The curve in steps and in seconds."""
    for unit in ("steps", "seconds"):
        table = sorted_speedups(data.summary, unit=unit)
        meaning = "Triangles: at least this much. Crosses: diverged, or too low for this axis."
        if unit == "seconds":
            meaning += (
                f" Step times were measured in turns with {data.context.baseline} on one machine."
            )
        yield Plot(
            name=f"speedup_{unit}",
            section="speedup",
            title=f"Speedup over {data.context.tuned}, in {unit}",
            caption=f"{data.context.line} {data.counts} {meaning}",
            alt=_words(data, unit),
            table=table,
            draw=partial(draw, table, data.context, unit=unit),
        )


def _words(data: ReportData, unit: str) -> str:
    parts = [
        f"{found.label}: median {ratio_text(found.median)} over {found.tasks} tasks, "
        f"{share_text(found.faster[1.0])} of them faster than {data.context.tuned}"
        for found in data.headlines
        if (found.unit, found.scope, found.split) == (unit, "headline", "train")
    ]
    return f"Speedups in {unit}, sorted over tasks. " + ". ".join(parts) + "."


def draw(table: pd.DataFrame, context: Context, *, unit: str = "steps") -> Figure:
    """Draws the curve.

    Args:
      table: see ``results.report.plotdata.sorted_speedups``.
      context: what the results are of.
      unit: ``"steps"`` or ``"seconds"``.
    """
    styles = looks(context.labels)
    drawn = [label for label in context.labels if label in set(table["label"])]
    figure = new_figure(_WIDTH, _HEIGHT + (0.15 * math.ceil(len(drawn) / 3) if _many(drawn) else 0))
    axes = figure.add_subplot()
    values = table["log2_speedup"].to_numpy(float)
    finite = values[np.isfinite(values)]
    low = min([_LOW, *(math.floor(max(v, _DEEPEST)) for v in finite)])
    high = max([_HIGH, *(math.ceil(v) for v in finite)])
    floor = low - 0.45
    _axes(axes, context, unit=unit, low=low, high=high, floor=bool((values < low).any()))
    if unit == "steps" and context.multiple > 0:
        _ceiling(axes, context, high=high)
    many = len(values) > 20 * max(1, len(drawn))
    marks = _Marks(floor=floor, low=low, many=many, stacked=unit == "steps")
    for label in drawn:
        mine = table.loc[table["label"] == label]
        _line(axes, mine.to_dict("list"), label=label, look=styles[label], marks=marks)
    if drawn:
        _legend(axes, drawn)
    else:
        text = f"no task has a speedup in {unit}"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color="#666666")
    return figure


@dataclass
class _Marks:
    """Where marks go, and how many optimizers have marks there so far.

    In steps all censored values are equal, so that marks would cover each other; in seconds each
    optimizer has a ceiling of its own, and its marks stay there.
    """

    floor: float
    low: int
    many: bool
    stacked: bool
    triangles: int = 0
    crosses: int = 0


def _many(labels: Sequence[str]) -> bool:
    return len(labels) > 4


def _axes(axes: Axes, context: Context, *, unit: str, low: int, high: int, floor: bool) -> None:
    powers = range(low, high + 1)
    ticks, names = [float(p) for p in powers], [_tick(p) for p in powers]
    if floor:
        ticks, names = [low - 0.45, *ticks], ["0x", *names]
    axes.set_xlim(0, 100)
    axes.set_ylim(low - 0.6, high + 0.15)
    axes.set_yticks(ticks, names)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("task percentile")
    axes.set_ylabel(f"speedup over {context.tuned},\nin {unit}")
    axes.axhline(0, color="#333333", linewidth=0.8, zorder=1)


def _ceiling(axes: Axes, context: Context, *, high: int) -> None:
    """Shades what cannot be observed and says why."""
    cap = math.log2(context.multiple)
    axes.axhspan(cap, high + 0.15, color="#f3f3f3", zorder=0.5, linewidth=0)
    axes.axhline(cap, color="#888888", linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    much = times(context.multiple)
    text = f"cannot exceed {much}: {context.baseline} was run {much[:-1]} times as long"
    axes.annotate(
        text, (0, 1), xycoords="axes fraction", xytext=(4, -4), textcoords="offset points",
        fontsize=6.5, color="#555555", va="top",
    )  # fmt: skip


def _line(
    axes: Axes, rows: dict[Any, list], *, label: str, look: tuple[str, str], marks: _Marks
) -> None:
    """One optimizer: dots joined by a line, triangles where censored, crosses at 0."""
    color, marker = look
    x, y = np.array(rows["percentile"], dtype=float), np.array(rows["log2_speedup"], dtype=float)
    right = np.array(rows["censored"]) == "right"
    zero = y < marks.low
    seen = ~zero & ~right
    size = 2.2 if marks.many else 4.0
    axes.plot(x[~zero], y[~zero], color=color, linewidth=0.9, alpha=0.45, linestyle=":")
    axes.plot(x[seen], y[seen], color=color, marker=marker, markersize=size, label=label,
              markeredgewidth=0, zorder=3)  # fmt: skip
    step = 4.2 if marks.many else 5.0
    edge: dict[str, Any]
    for chosen, height, row, symbol, edge in (
        (right, y, marks.triangles, "^", {"markeredgecolor": "white", "markeredgewidth": 0.4}),
        (zero, np.full(len(y), marks.floor), marks.crosses, "x", {"markeredgewidth": 1.1}),
    ):
        if chosen.any():
            offset = (3 if symbol == "^" else 0) + step * row
            up = ScaledTranslation(0, offset / 72, axes.figure.dpi_scale_trans)
            (drawn,) = axes.plot(
                x[chosen], height[chosen], symbol, color=color, markersize=size + 2,
                clip_on=False, zorder=4, transform=axes.transData + up, **edge,
            )  # fmt: skip
            # Otherwise the layout would make room for marks that stand in the margin.
            drawn.set_in_layout(False)
    marks.triangles += marks.stacked and bool(right.any())
    marks.crosses += bool(zero.any())


def _legend(axes: Axes, drawn: Sequence[str]) -> None:
    """At the lower right, where a rising curve leaves room; above the axes if there are many."""
    if _many(drawn):
        axes.legend(loc="lower left", bbox_to_anchor=(-0.15, 1.0), ncols=3, columnspacing=1.2)
    else:
        axes.legend(loc="lower right", borderaxespad=0.8, labelspacing=0.3)


def _tick(power: int) -> str:
    return f"{2**power}x" if power >= 0 else f"1/{2**-power}x"
