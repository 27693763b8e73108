"""The speedup against the number of steps that is declared to an optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from velodrome.results.report.context import Context
from velodrome.results.report.data import ReportData
from velodrome.results.report.figures.figure import SATURATED_OUT, Plot
from velodrome.results.report.figures.log2axis import MARGIN, limits, log2, set_log2
from velodrome.results.report.figures.style import (
    axis_label,
    handles,
    legend_above,
    new_figure,
    series_styles,
)
from velodrome.results.report.tables import change_text

_CAPTION = (
    "Optimizers that know how many steps they make, with another number declared. Each is compared "
    "with itself and the true number, task by task: median over tasks of the ratio of the two "
    "speedups in steps over {baseline}. Bars: 95% for new tasks and new seeds. Hollow: on more "
    "than a quarter of the tasks the baseline's budget bounds a speedup, so the ratio is a bound "
    "too. " + SATURATED_OUT
)
_CHANGE = ["change", "change_low", "change_high"]


def plots(data: ReportData) -> Iterator[Plot]:
    """Yield the figure if a wrong number of steps is declared to some optimizer."""
    table, context = data.horizon, data.context
    if table.empty:
        return
    words = [
        f"{row['label']} with {row['declared']:g}x declared: {change_text(row)}"
        for row in table.to_dict("records")
    ]
    yield Plot(
        name="horizon",
        section="horizon",
        title="Speedup with another number of steps declared",
        caption=context.caption(_CAPTION),
        alt=f"Speedups over those with the true number. {'; '.join(words)}.",
        table=table,
        draw=partial(draw, table, context),
    )


def draw(table: pd.DataFrame, context: Context) -> Figure:
    """Draw changes; see ``velodrome.results.analyses.horizon.HORIZON_COLUMNS``."""
    styles = series_styles(context.labels, table["label"])
    figure = new_figure(4.0, 2.4)
    axes = figure.add_subplot()
    low, high = limits(log2(table[_CHANGE]).ravel(), low=-1, high=1)
    factors = sorted(set(table["declared"]))
    for place, (label, (color, marker)) in enumerate(styles.items()):
        rows = table.loc[table["label"] == label]
        # Side by side, so that no bar hides another.
        x = log2(rows["declared"]) + 0.06 * (place - (len(styles) - 1) / 2)
        middle, bottom, top = np.maximum(log2(rows[_CHANGE]).T, low - MARGIN)
        axes.plot(x, middle, color=color, linewidth=0.9)
        axes.vlines(x, bottom, top, color=color, linewidth=1.2)
        for at, y, hollow in zip(x, middle, rows["bound"], strict=True):
            face = "white" if hollow != "" else color
            axes.plot([at], [y], marker, color=color, markerfacecolor=face, markersize=4)
    set_log2(axes, low, high, floor=bool((log2(table[_CHANGE]) < low).any()))
    axes.set_xticks(log2(np.array(factors)).tolist(), [f"{x:g}x" for x in factors])
    axes.set_xlabel("declared number of steps, over the true number")
    axes.set_ylabel(axis_label("speedup over the true number's", 2.0))
    legend_above(figure, handles(styles))
    return figure
