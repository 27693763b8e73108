"""The speedup against the number of trials spent, of sweeps that are ordered lists."""

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
from velodrome.results.speedup.speedup import format_ratio

LOGARITHMIC = 30
"""With more trials than this, their axis is logarithmic."""
_QUARTILES = ["median", "quarter", "three_quarters"]
_CAPTION = (
    "Speedup in steps over {baseline} with its whole sweep, of the best of the first k trials of a "
    "list, in its order. Line: median over tasks; band: quartiles over tasks. " + SATURATED_OUT
)


def plots(data: ReportData) -> Iterator[Plot]:
    """Yield the figure if a sweep is an ordered list."""
    table, context = data.budget, data.context
    if table.empty:
        return
    words = [
        f"{label}: {format_ratio(float(rows['median'].iloc[0]))} after one trial, "
        f"{format_ratio(float(rows['median'].iloc[-1]))} after {rows['trials'].iloc[-1]}"
        for label, rows in table.groupby("label", sort=False)
    ]
    yield Plot(
        name="budget",
        section="tuning",
        title="Speedup against the number of trials",
        caption=context.caption(_CAPTION),
        alt=f"Median speedups. {'; '.join(words)}.",
        table=table,
        draw=partial(draw, table, context),
    )


def draw(table: pd.DataFrame, context: Context) -> Figure:
    """Draw medians over tasks; see ``velodrome.results.analyses.budget.BUDGET_COLUMNS``."""
    styles = series_styles(context.labels, table["label"])
    figure = new_figure(4.0, 2.4)
    axes = figure.add_subplot()
    low, high = limits(log2(table[_QUARTILES]).ravel(), high=2)
    for label, (color, _) in styles.items():
        rows = table.loc[table["label"] == label].sort_values("trials")
        x = rows["trials"].to_numpy(float)
        middle, bottom, top = np.maximum(log2(rows[_QUARTILES]).T, low - MARGIN)
        axes.fill_between(x, bottom, top, step="post", color=color, alpha=0.16, linewidth=0)
        axes.step(x, middle, where="post", color=color)
    most = max(table["trials"])
    if most > LOGARITHMIC:
        axes.set_xscale("log")
    axes.set_xlim(1, max(2, most))
    set_log2(axes, low, high, floor=True)
    axes.set_xlabel("trials k")
    axes.set_ylabel(axis_label(f"speedup over {context.baseline}", 2.0))
    legend_above(figure, handles(styles, linewidth=1))
    return figure
