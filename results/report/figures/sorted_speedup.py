"""The sorted speedup curve: one line per optimizer over task percentiles.

This is figure 1 of Metz et al. 2022 (arXiv 2211.09760), on the same axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from velodrome.foundation.text import plural
from velodrome.results.analyses.headline import share_text
from velodrome.results.report.context import Context, as_long, times
from velodrome.results.report.data import ReportData
from velodrome.results.report.figures.figure import SATURATED_OUT, Plot
from velodrome.results.report.figures.log2axis import MARGIN, limits, set_log2
from velodrome.results.report.figures.style import (
    axis_label,
    handles,
    legend_above,
    new_figure,
    series_styles,
)
from velodrome.results.report.plot_data import sorted_speedups
from velodrome.results.speedup.stats import BAND_SEEDS
from velodrome.results.speedup.taskresult import Split, Unit

_WIDTH, _HEIGHT = 4.6, 3.0
# About the height of the axes in points, to turn points into units of their log2 scale.
_AXES_POINTS = 2.4 * 72

_VIEWS: tuple[tuple[str, Unit, Split, str], ...] = (
    ("speedup_steps", "steps", "train", "in steps"),
    ("speedup_seconds", "seconds", "train", "in seconds"),
    ("speedup_heldout", "steps", "heldout", "in steps, held-out loss"),
)
_MEANING = (
    "Triangles: at least this much. Crosses: diverged, no progress (0x), or too low for this "
    "axis. Those of several optimizers stand in rows, so that none hides another. Bands: 95% at "
    "each rank, for the same tasks and new seeds ({seeds}). Vertical bars (from 5 seeds on): 95% "
    "for each task. " + SATURATED_OUT
)
_MORE = {
    "speedup_seconds": " Step times were measured in turns with {baseline} on one machine.",
    "speedup_heldout": " Held-out losses are evaluated less often than train losses.",
}


def plots(data: ReportData) -> Iterator[Plot]:
    """Yield the curve in steps, in seconds, and of held-out losses."""
    context = data.context
    for name, unit, split, words in _VIEWS:
        table = sorted_speedups(data.results, unit=unit, split=split)
        if table.empty and name not in ("speedup_steps", "speedup_seconds"):
            continue
        counts = data.counts(unit=unit, split=split)
        caption = context.caption(_MEANING + _MORE.get(name, ""), counts, seeds=_seeds(table))
        # In seconds tasks differ in the largest speedup that can be observed.
        ceiling = context.multiple if unit == "steps" else math.nan
        yield Plot(
            name=name,
            section="speedup",
            title=f"Speedup over {context.tuned}, {words}",
            caption=caption,
            alt=_words(data, unit, split, words),
            table=table,
            draw=partial(draw, table, context, words=words, ceiling=ceiling),
        )


def _seeds(table: pd.DataFrame) -> str:
    """Return the seeds of each optimizer, the fewest over tasks, and whether they are few."""
    labels = dict.fromkeys(table["label"])
    fewest = {x: int(np.min(table.loc[table["label"] == x, "seeds"])) for x in labels}
    each = set(fewest.values())
    text = ", ".join(f"{label}: {plural(count, 'seed')}" for label, count in fewest.items())
    if len(each) == 1:
        text = plural(each.pop(), "seed")
    few = fewest and min(fewest.values()) < BAND_SEEDS
    return text + (", narrow with so few" if few else "") if fewest else "no seeds"


def _words(data: ReportData, unit: Unit, split: Split, words: str) -> str:
    parts = []
    for label in data.context.labels:
        found = data.headline_of(label, unit=unit, split=split)
        if found is not None and found.tasks:
            text = f"{label}: {'' if found.few else 'median '}{found.median_text()}"
            if 1.0 in found.faster:
                share = share_text(found.faster[1.0])
                text += f", {share} of {plural(found.tasks, 'task')} faster than"
                text += f" {data.context.tuned}"
            parts.append(text)
    return f"Speedups {words}, sorted over tasks. " + ". ".join(parts) + "."


def draw(
    table: pd.DataFrame, context: Context, *, words: str = "in steps", ceiling: float = math.nan
) -> Figure:
    """Draw the curve.

    Args:
      table: See ``velodrome.results.report.plot_data.sorted_speedups``.
      context: Names the baseline and the optimizers.
      words: The unit in words.
      ceiling: The largest speedup that can be observed; NaN if there is no common one.
    """
    styles = series_styles(context.labels, table["label"])
    figure = new_figure(_WIDTH, _HEIGHT)
    axes = figure.add_subplot()
    values = table["log2_speedup"].to_numpy(float)
    many = len(values) > 20 * max(1, len(styles))
    apart = 4.2 if many else 5.0  # points between the rows of marks of two optimizers
    stacked = ceiling > 0
    low, high = limits(values)
    top = high + 0.15
    if stacked:
        high = max(high, math.ceil(math.log2(ceiling)))
        # Room above the ceiling for a row of triangles of each optimizer, and for its text.
        rows = table.loc[table["censored"] == "right", "label"].nunique()
        share = (4 + apart * rows + 12) / _AXES_POINTS
        top = max(high + 0.15, (math.log2(ceiling) - share * (low - 0.6)) / (1 - share))
    set_log2(axes, low, high, floor=bool((values < low).any()))
    axes.set_ylim(low - 0.6, top)
    axes.set_ylabel(axis_label(f"speedup over {context.tuned},\n{words}", 2.2))
    axes.set_xlim(0, 100)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("task percentile")
    if stacked:
        _ceiling(axes, context, ceiling, top=top)
    triangles = crosses = 0
    for label, style in styles.items():
        rows = table.loc[table["label"] == label]
        x, y = rows["percentile"].to_numpy(float), rows["log2_speedup"].to_numpy(float)
        right, zero = (rows["censored"] == "right").to_numpy(bool), y < low
        size = 2.2 if many else 4.0
        _bands(axes, rows, style.color, low=low, width=0.5 if many else 0.8, few=len(styles) <= 3)
        axes.plot(x[~zero], y[~zero], color=style.color, linewidth=0.9, alpha=0.45, linestyle=":")
        # A gap at a censored task: the curve is not known to go past it.
        axes.plot(
            x, np.where(zero | right, np.nan, y), color=style.color, marker=style.marker,
            markersize=size, markeredgewidth=0, zorder=3,
        )  # fmt: skip
        look = {"color": style.color, "markersize": size + 2}
        _mark(axes, x[right], y[right], "^", 3 + apart * triangles,
              markeredgecolor="white", markeredgewidth=0.4, **look)  # fmt: skip
        floor = np.full(zero.sum(), low - MARGIN)
        _mark(axes, x[zero], floor, "x", apart * crosses, markeredgewidth=1.1, **look)
        # In steps all censored values are equal, so that marks would cover each other. In seconds
        # each optimizer has another ceiling, and its marks stay there.
        triangles += stacked and bool(right.any())
        crosses += bool(zero.any())
    legend_above(figure, handles(styles, markersize=3.5, linewidth=0.9))
    if not styles:
        text = f"no task has a speedup {words}"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color="#666666")
    return figure


def _ceiling(axes: Axes, context: Context, ceiling: float, *, top: float) -> None:
    """Shade what cannot be observed and say why."""
    cap = math.log2(ceiling)
    axes.axhspan(cap, top, color="#f3f3f3", zorder=0.5, linewidth=0)
    axes.axhline(cap, color="#888888", linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    text = f"cannot exceed {times(ceiling)}: {as_long(context)}"
    axes.annotate(
        text, (0, 1), xycoords="axes fraction", xytext=(4, -4), textcoords="offset points",
        fontsize=6.5, color="#555555", va="top",
    )  # fmt: skip


def _mark(
    axes: Axes, x: np.ndarray, y: np.ndarray, symbol: str, points: float, **line: Any
) -> None:
    """Draw marks some points above their place."""
    if len(x):
        up = axes.transData + ScaledTranslation(0, points / 72, axes.figure.dpi_scale_trans)
        (drawn,) = axes.plot(x, y, symbol, clip_on=False, zorder=4, transform=up, **line)
        # Otherwise the layout would make room for marks that stand in the margin.
        drawn.set_in_layout(False)


def _bands(
    axes: Axes, rows: pd.DataFrame, color: str, *, low: int, width: float, few: bool
) -> None:
    """Draw the band of the curve, and the interval of every task that has enough seeds for one."""
    x, bottom = rows["percentile"].to_numpy(float), 2.0 ** (low - 1)
    band_low, band_high, task_low, task_high = (
        np.log2(np.maximum(rows[name].to_numpy(float), bottom))
        for name in ("band_low", "band_high", "low", "high")
    )
    # Many bands on each other would be grey.
    alpha = 0.18 if few else 0.1
    axes.fill_between(x, band_low, band_high, color=color, alpha=alpha, linewidth=0, zorder=2)
    if few and np.isfinite(task_low).any():
        axes.vlines(x, task_low, task_high, color=color, linewidth=width, alpha=0.6, zorder=2.5)
