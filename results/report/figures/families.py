"""Speedups by family: every task a mark, with the family's median and interval."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from velodrome.foundation.text import plural
from velodrome.results.report.context import Context
from velodrome.results.report.data import ReportData, Row
from velodrome.results.report.figures.figure import SATURATED_OUT, Plot
from velodrome.results.report.figures.log2axis import MARGIN, limits, set_log2
from velodrome.results.report.figures.style import (
    SeriesStyle,
    axis_label,
    handles,
    legend_above,
    name_rows,
    new_figure,
    series_styles,
    slots,
)
from velodrome.results.report.plot_data import is_censored, sorted_speedups
from velodrome.results.speedup.speedup import format_ratio
from velodrome.results.speedup.stats import FEW_TASKS
from velodrome.results.speedup.taskresult import Unit

_MEANING = (
    "Small marks: tasks; triangles where they are right-censored; at 0x where they diverged or "
    "made no progress. Vertical bars: the family's median; shaded: its 95% interval for the same "
    f"tasks and new seeds; a family with fewer than {FEW_TASKS} tasks has neither. Arrows: the "
    "median, or that end, is a lower bound. " + SATURATED_OUT
)
_SHARED = ("median", "low", "high", "lower_bound", "low_open", "high_open")
_UNITS: tuple[Unit, ...] = ("steps", "seconds")


def plots(data: ReportData) -> Iterator[Plot]:
    """Yield the speedups in steps and in seconds."""
    for unit in _UNITS:
        tasks = sorted_speedups(data.results, unit=unit)
        medians = data.families.loc[data.families["unit"] == unit]
        if tasks.empty:
            continue
        words = "; ".join(
            f"{row['family']}, {row['label']}: {_words(row)}, worst {worst_text(row, data.summary)}"
            for row in medians.to_dict("records")
        )
        yield Plot(
            name=f"families_{unit}",
            section="families",
            title=f"Speedup by family, in {unit}",
            caption=f"{data.context.line} {data.counts(unit=unit)} {_MEANING}",
            alt=f"Speedups in {unit} by family. {words}.",
            table=with_medians(tasks, medians),
            draw=partial(draw, tasks, medians, data.context, unit=unit),
        )


def _words(row: Row) -> str:
    if row["each"]:
        return row["each"]
    median = format_ratio(row["median"], censored="right" if row["lower_bound"] else "no")
    return f"median {median} over {plural(row['tasks'], 'task')}"


def worst_text(row: Row, summary: pd.DataFrame) -> str:
    """Return a family's worst task: ``cnn-4fb404f7 (>=5x)``, a lower bound where it is censored.

    Args:
      row: A row of ``velodrome.results.analyses.families.FAMILY_COLUMNS``.
      summary: See ``velodrome.results.analyses.summary.COLUMNS``.
    """
    censored = is_censored(summary, row["label"], row["worst_task"])
    ratio = format_ratio(row["worst"], censored="right" if censored else "no")
    return f"{row['worst_task']} ({ratio})"


def with_medians(tasks: pd.DataFrame, medians: pd.DataFrame) -> pd.DataFrame:
    """Return the marks, and beside each what is drawn of its family: ``family_median``, ..."""
    shared = medians[["label", "family"]].assign(**{f"family_{x}": medians[x] for x in _SHARED})
    return tasks.merge(shared, on=["label", "family"], how="left")


def draw(
    tasks: pd.DataFrame, medians: pd.DataFrame, context: Context, *, unit: Unit = "steps"
) -> Figure:
    """Draw a row for each family, in it a line for each optimizer.

    Args:
      tasks: See ``velodrome.results.report.plot_data.sorted_speedups``.
      medians: See ``velodrome.results.analyses.families.FAMILY_COLUMNS``, in ``unit``.
      context: Names the baseline and the optimizers.
    """
    styles = series_styles(context.labels, tasks["label"])
    families = list(dict.fromkeys(medians["family"]))
    slot = 0.2 if len(styles) <= 2 else 0.13
    figure = new_figure(4.6, 0.7 + len(families) * (slot * len(styles) + 0.1))
    axes = figure.add_subplot()
    values = tasks["log2_speedup"].to_numpy(float)
    low, high = limits(values)
    set_log2(axes, low, high, floor=bool((values < low).any()), which="x")
    for place, family in enumerate(families):
        for y, (label, style) in zip(place + slots(len(styles)), styles.items(), strict=True):
            mine = tasks.loc[(tasks["label"] == label) & (tasks["family"] == family)]
            _strip(axes, mine, y, style, low=low)
            here = medians.loc[(medians["label"] == label) & (medians["family"] == family)]
            for row in here.loc[here["tasks"] >= FEW_TASKS].to_dict("records"):
                _median(axes, row, y, style.color, half=0.36 / len(styles), low=low)
    end = "\n" if len(styles) > 1 else " "
    name_rows(axes, [f"{family}{end}({_count(medians, family)})" for family in families])
    axes.set_xlabel(axis_label(f"speedup over {context.tuned}, in {unit}", 3.6))
    legend_above(figure, handles(styles))
    return figure


def _count(medians: pd.DataFrame, family: str) -> str:
    """Return such as ``5``, or ``3 to 5`` where optimizers differ in their number of tasks."""
    tasks = medians.loc[medians["family"] == family, "tasks"]
    low, high = int(tasks.min()), int(tasks.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _strip(axes: Axes, mine: pd.DataFrame, y: float, style: SeriesStyle, *, low: int) -> None:
    """Draw the marks of the tasks, all on one line."""
    x = mine["log2_speedup"].to_numpy(float)
    right = (mine["censored"] == "right").to_numpy(bool)
    x = np.where(x < low, low - MARGIN, x)
    for chosen, symbol in ((~right, style.marker), (right, ">")):
        axes.plot(x[chosen], np.full(chosen.sum(), y), symbol, color=style.color, markersize=3.2,
                  alpha=0.7, markeredgewidth=0, zorder=3)  # fmt: skip


def _median(axes: Axes, row: Row, y: float, color: str, *, half: float, low: int) -> None:
    bottom = 2.0 ** (low - MARGIN)
    middle, left, right = (
        float(np.log2(max(row[name], bottom))) for name in ("median", "low", "high")
    )
    axes.fill_between([left, right], y - half, y + half, color=color, alpha=0.18, linewidth=0)
    # Below the marks: in a family with one task the bar would hide whether it is censored.
    axes.vlines(middle, y - half, y + half, color=color, linewidth=1.6, zorder=2.5)
    bounds = ((middle, "lower_bound"), (left, "low_open"), (right, "high_open"))
    for x in dict.fromkeys(x for x, name in bounds if row[name] and np.isfinite(x)):
        axes.annotate(
            "", (x, y - half), xytext=(8, 0), textcoords="offset points",
            arrowprops={"arrowstyle": "<-", "color": color, "linewidth": 0.9, "shrinkA": 0,
                        "shrinkB": 0, "mutation_scale": 5},
        )  # fmt: skip
