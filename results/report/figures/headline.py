"""The headline as intervals: median and interquartile mean in every unit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from velodrome.foundation.text import plural
from velodrome.results.report.context import Context
from velodrome.results.report.data import ReportData, Row
from velodrome.results.report.figures.figure import Plot
from velodrome.results.report.figures.log2axis import limits, log2, set_log2
from velodrome.results.report.figures.style import (
    SeriesStyle,
    handles,
    legend_above,
    name_rows,
    new_figure,
    series_styles,
    slots,
)
from velodrome.results.speedup.stats import FEW_TASKS

_ROWS = (
    ("steps", "train", "steps"),
    ("seconds", "train", "seconds"),
    ("steps", "heldout", "steps,\nheld-out loss"),
)
_MEANING = (
    "Filled: median over tasks of the tasks' medians over seeds; hollow: interquartile mean over "
    "all tasks and seeds, both in log2. Thick bars: 95% interval for the same tasks and new seeds "
    "(stratified bootstrap); thin bars: for new tasks and new seeds (two-level bootstrap). "
    "Arrows: the number, or that end of the interval, is a lower bound, because the baseline's "
    "budget ends there."
)


def plots(data: ReportData) -> Iterator[Plot]:
    """Yield one figure, unless there are so few tasks that they are shown one by one."""
    chosen = data.headline["statistic"].isin(["median", "iqm"])
    chosen &= (data.headline["scope"] == "headline") & (data.headline["tasks"] >= FEW_TASKS)
    table = data.headline.loc[chosen].reset_index(drop=True)
    if table.empty:
        return
    seeds = int(table["seeds"].min())
    narrow = ": intervals are narrow with so few." if seeds < 5 else "."
    yield Plot(
        name="headline",
        section="headline",
        title=f"Speedup over {data.context.tuned}",
        caption=f"{data.context.line} {data.counts()} {_MEANING} {plural(seeds, 'seed')}{narrow}",
        alt="; ".join(
            f"{h.label}, {h.unit}, {h.split} loss: median {h.median_text()}, interquartile "
            f"mean {h.iqm_text()} over {h.tasks} tasks"
            for h in data.headlines
            if h.scope == "headline" and not h.few
        ),
        table=data.headline,
        draw=partial(draw, table, data.context),
    )


def draw(table: pd.DataFrame, context: Context) -> Figure:
    """Draw a row for each unit, with all optimizers in it.

    Args:
      table: Medians and interquartile means, with the columns of
        ``velodrome.results.analyses.headline.HEADLINE_COLUMNS``.
      context: Names the baseline and the optimizers.
    """
    styles = series_styles(context.labels, table["label"])
    kinds = {(str(u), str(s)) for u, s in zip(table["unit"], table["split"], strict=True)}
    rows = [row for row in _ROWS if row[:2] in kinds]
    slot = 0.12 if len(styles) > 2 else 0.17
    figure = new_figure(4.6, 0.75 + len(rows) * max(0.34, slot * (len(styles) + 0.8)))
    axes = figure.add_subplot()
    ends = table[["value", "low", "high", "low_new_tasks", "high_new_tasks"]]
    low, high = limits(log2(ends).ravel(), low=-1, high=2)
    set_log2(axes, low, high, which="x")
    for place, (unit, split, _) in enumerate(rows):
        here = table.loc[(table["unit"] == unit) & (table["split"] == split)]
        for y, (label, style) in zip(place + slots(len(styles)), styles.items(), strict=True):
            for found in here.loc[here["label"] == label].to_dict("records"):
                hollow = found["statistic"] == "iqm"
                offset = (0.2 if hollow else -0.2) * 0.8 / len(styles)
                _interval(axes, found, y + offset, style, low=low, hollow=hollow)
    name_rows(axes, [name for *_, name in rows])
    axes.set_xlabel(f"speedup over {context.tuned}")
    grey = {"color": "#555555", "marker": "o", "markersize": 4, "linestyle": ""}
    entries = [
        *handles(styles),
        Line2D([], [], label="median", **grey),
        Line2D([], [], label="IQM", markerfacecolor="white", **grey),
    ]
    legend_above(figure, entries)
    return figure


def _interval(
    axes: Axes, found: Row, y: float, style: SeriesStyle, *, low: int, hollow: bool
) -> None:
    """Draw a mark with its thick and its thin bar, and an arrow at every lower bound."""
    color, bottom = style.color, 2.0 ** (low - 1)

    def at(name: str) -> float:
        return float(np.log2(max(found[name], bottom)))

    for kind, width, alpha in (("_new_tasks", 0.7, 1.0), ("", 2.2, 0.75)):
        if np.isnan(found[f"low{kind}"]):
            continue
        ends = at(f"low{kind}"), at(f"high{kind}")
        axes.hlines(y, ends[0], ends[1], color=color, linewidth=width, alpha=alpha)
        opens = [found[f"low{kind}_open"], found[f"high{kind}_open"]]
        beyond = [end + 0.05 for end, is_open in zip(ends, opens, strict=True) if is_open]
        axes.plot(beyond, [y] * len(beyond), ">", color=color, markersize=2.5, markeredgewidth=0)
    axes.plot(
        at("value"), y, style.marker, color=color, markersize=4, zorder=4, markeredgewidth=0.8,
        markerfacecolor="white" if hollow else color,
    )  # fmt: skip
    if found["lower_bound"]:
        axes.plot(at("value") + 0.14, y, ">", color=color, markersize=3, zorder=4)
