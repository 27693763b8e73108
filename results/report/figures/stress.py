"""Speedup against parameters, steps, or the declared number of steps over the true one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from velodrome.foundation.text import short
from velodrome.results.analyses.stress import By, stress_table
from velodrome.results.report.context import data_text
from velodrome.results.report.data import ReportData
from velodrome.results.report.figures.figure import SATURATED_OUT, Plot
from velodrome.results.report.figures.log2axis import MARGIN, limits, log2, set_log2
from velodrome.results.report.figures.style import (
    SeriesStyle,
    axis_label,
    handles,
    legend_above,
    new_figure,
    series_styles,
)
from velodrome.results.speedup.speedup import format_ratio
from velodrome.results.speedup.taskresult import TaskResult


class _Axis(NamedTuple):
    """What stands below a figure, where the paper says that VeLO fails, and how that is called."""

    name: str
    limit: float
    words: str


AXES: dict[By, _Axis] = {
    "parameters": _Axis("parameters of the network", 5e8, "500 M, the paper's limit"),
    "steps": _Axis("steps of the run", 2e5, "200,000, the paper's limit"),
    "declared": _Axis("declared number of steps / true number", 1.0, "true steps"),
}
_MEANING = (
    "Marks: the median over tasks of the speedup in steps over {baseline} at its best rate; bars: "
    "its 95% interval for the same tasks and new seeds, with an arrow where an end is a lower "
    "bound; triangles: the median is one, because {baseline} never got so far. Dashed: {limit}. "
)


def plot(by: By, reports: Sequence[ReportData]) -> Plot:
    """Return the figure of one store or of several.

    Stores differ in what they are shown against, such as the number of steps.
    """
    sizes = {
        id(result): int(size)
        for report in reports
        for result, size in zip(report.results, _sizes(report), strict=True)
    }
    results = [result for report in reports for result in report.results]

    def parameters(result: TaskResult) -> int:
        return sizes[id(result)]

    table = stress_table(results, by=by, parameters=parameters)
    first, axis = reports[0].context, AXES[by]
    lines = " ".join(report.context.line for report in reports)
    words = "; ".join(
        f"{row['series']}: {_median(row)} at {row['x']:g}" for row in table.to_dict("records")
    )
    kinds = [kind for report in reports for kind in report.summary["provenance"]]
    return Plot(
        name=f"stress_{by}",
        section="speedup",
        title=f"Speedup against {axis.name}",
        caption=f"{lines} {_MEANING.format(baseline=first.baseline, limit=axis.words)}"
        f"{SATURATED_OUT}",
        alt=f"Median speedups by {axis.name}, on {data_text(kinds)}. {words}.",
        table=table,
        draw=partial(draw, table, by, first.tuned),
    )


def _sizes(report: ReportData) -> list[int]:
    """Return the parameters of the network of each result."""
    known = dict(zip(report.specs["task"], report.specs["parameters"], strict=True))
    return [known[result.row["task"]] for result in report.results]


def _median(row: dict) -> str:
    return format_ratio(row["median"], censored="right" if row["lower_bound"] else "no")


def draw(table: pd.DataFrame, by: By, baseline: str) -> Figure:
    """Draw a line for each series; see ``velodrome.results.analyses.stress.STRESS_COLUMNS``."""
    axis = AXES[by]
    styles = series_styles(list(dict.fromkeys(table["series"])))
    figure = new_figure(4.6, 2.7)
    axes = figure.add_subplot()
    values = log2(table[["median", "low", "high"]]).ravel()
    low, high = limits(values, high=2)
    for at, (series, style) in enumerate(styles.items()):
        mine = table.loc[table["series"] == series].sort_values("x")
        # A little aside, so that bars of several series do not cover each other.
        x = mine["x"].to_numpy(float) * 1.04 ** (at - (len(styles) - 1) / 2)
        _series(axes, mine, x, style, low=low)
    axes.set_xscale("log")
    left, right = min(min(table["x"]), axis.limit), max(max(table["x"]), axis.limit)
    axes.set_xlim(left / 1.5, right * 1.5)
    ticks = sorted(set(table["x"])) if by == "declared" else _powers(left, right)
    axes.set_xticks(ticks, [f"{tick:g}" if by == "declared" else short(tick) for tick in ticks])
    axes.minorticks_off()
    set_log2(axes, low, high, floor=bool((values < low).any()))
    line = {"color": "#333333", "linewidth": 0.8, "linestyle": "--"}
    axes.axvline(axis.limit, zorder=1, **line)
    axes.set_xlabel(axis.name)
    axes.set_ylabel(axis_label(f"speedup over {baseline}, in steps", 2.3))
    # Named there, because beside the line a curve may cross the words.
    legend_above(figure, [*handles(styles), Line2D([], [], label=axis.words, **line)])
    return figure


def _powers(left: float, right: float) -> list[float]:
    """Return the powers of ten from just below ``left`` to ``right``."""
    return [10.0**power for power in range(int(np.log10(left)), int(np.log10(right)) + 1)]


def _series(axes: Axes, mine: pd.DataFrame, x: np.ndarray, style: SeriesStyle, *, low: int) -> None:
    middle, bottom, top = np.maximum(log2(mine[["median", "low", "high"]]).T, low - MARGIN)
    bound = mine["lower_bound"].to_numpy(bool)
    axes.plot(x, middle, color=style.color, linewidth=0.9, zorder=2)
    axes.vlines(x, bottom, top, color=style.color, linewidth=1.2, alpha=0.7, zorder=2.5)
    for chosen, symbol in ((~bound, style.marker), (bound, "^")):
        axes.plot(x[chosen], middle[chosen], symbol, color=style.color, markersize=4, zorder=3)
    for end, name in ((bottom, "low_open"), (top, "high_open")):
        known, is_open = np.isfinite(end), mine[name].to_numpy(bool)
        # Caps are wider than marks, so that short bars are seen too.
        for chosen, symbol, width in ((known & is_open, "^", 2.5), (known & ~is_open, "_", 6)):
            axes.plot(x[chosen], end[chosen], symbol, color=style.color, markersize=width, zorder=3)
