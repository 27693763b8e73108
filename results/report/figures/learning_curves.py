"""Learning curves as small multiples: every rate of the sweep, their envelope, the candidates."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator, NullLocator

from velodrome.foundation.text import plural
from velodrome.results.report.context import Context
from velodrome.results.report.data import ReportData, Row
from velodrome.results.report.figures.figure import Plot, pages
from velodrome.results.report.figures.style import (
    BASELINE,
    FAINT,
    WIDE,
    SeriesStyle,
    legend_above,
    new_figure,
    series_styles,
    short_labels,
)
from velodrome.results.report.plot_data import panel
from velodrome.results.report.tables import sweep_stopped, sweep_text
from velodrome.results.speedup.speedup import format_ratio

_MEANING = (
    "Losses are smoothed as in the default definition. The best single rate has the lowest loss at "
    "the baseline's last step. A line that leaves its panel at the top goes on above it."
)
_RATIOS = (
    " Above each panel: speedup in steps, the step at which the envelope reaches the candidate's "
    "last loss over the candidate's steps."
)
_VERDICTS = 4
"""Most optimizers whose speedups have room above a panel."""
PANELS = 24
"""Most panels of one figure: more would be illegible at the width of a page."""
_LINES: Mapping[str, dict[str, Any]] = {
    "rate": {"color": FAINT, "linewidth": 0.6, "zorder": 1},
    "envelope": {"color": WIDE, "linewidth": 2.4, "zorder": 2},
    "best": {"color": BASELINE, "linewidth": 0.9, "linestyle": "--", "zorder": 3},
    "published": {"color": "black", "linewidth": 0.9, "linestyle": ":", "zorder": 3},
    "seed": {"linewidth": 0.9, "zorder": 4, "alpha": 0.85},
}
_SHORT = {"diverged": "div.", "failed": "fail", "missing": "none", "incomplete": "part"}


def plots(data: ReportData) -> Iterator[Plot]:
    """Yield one figure, or as many as there are pages of :data:`PANELS` tasks."""
    # A store may have the baseline alone: then nothing is in the summary.
    indices = list(dict.fromkeys([*data.summary["index"], *data.curves["index"]]))
    ratios = _RATIOS if 0 < len(data.context.labels) <= _VERDICTS else ""
    for number, which, chosen in pages(indices, PANELS):
        summary = data.summary.loc[data.summary["index"].isin(chosen)]
        curves = data.curves.loc[data.curves["index"].isin(chosen)]
        yield Plot(
            name=f"learning_curves{number}",
            section="curves",
            title=f"Learning curves{which}",
            caption=f"{data.context.line} {_counts(summary)}{_MEANING}{ratios}",
            alt=_words(summary),
            table=curves,
            draw=partial(draw, curves, summary, data.context),
        )


def _words(summary: pd.DataFrame) -> str:
    rows = (
        f"{row['task']}: {row['label']} {_verdict(row, short=False)}"
        for row in summary.to_dict("records")
    )
    text = "; ".join(rows) or "There are no optimizers besides the baseline."
    return f"Train losses against steps, and the speedup in steps of each task. {text}"


def _counts(summary: pd.DataFrame) -> str:
    """Count the drawn tasks of each optimizer by their status."""
    parts = []
    for label, rows in summary.groupby("label", sort=False):
        found = sorted(Counter(rows["status"]).items())
        counts = "".join(f", {count} {status}" for status, count in found if status != "ok")
        parts.append(f"{label}: {plural(len(rows), 'task')}{counts}. ")
    return "".join(parts)


def draw(curves: pd.DataFrame, summary: pd.DataFrame, context: Context) -> Figure:
    """Draw one panel per task.

    Args:
      curves: See ``velodrome.results.report.plot_data.learning_curves``.
      summary: See ``velodrome.results.analyses.summary.COLUMNS``.
      context: Names the baseline and the optimizers.
    """
    table = summary if len(summary) else curves
    tasks = list(dict.fromkeys(zip(table["index"], table["task"], strict=True)))
    columns = len(tasks) if len(tasks) <= 3 else 4 if len(tasks) <= 16 else 6
    rows = math.ceil(len(tasks) / columns)
    figure = new_figure(max(3.6, 1.85 * columns), 1.5 * rows + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False)
    styles = series_styles(context.labels)
    for place, axes in enumerate(grid.flat):
        if place >= len(tasks):
            axes.set_axis_off()
            continue
        index, name = tasks[place]
        mine, info = curves.loc[curves["index"] == index], summary.loc[summary["index"] == index]
        _panel(axes, mine, info, styles, title=str(name))
        if place // columns == rows - 1:
            axes.set_xlabel("step", labelpad=1)
        if place % columns == 0:
            axes.set_ylabel("train loss", labelpad=1)
    drawn = list(grid.flat)[: len(tasks)]
    # One scale is read at the lowest row; where sweeps stop at other steps each panel has its own.
    same = len({axes.get_xlim() for axes in drawn}) == 1
    for place, axes in enumerate(drawn):
        axes.tick_params(labelbottom=not same or place + columns >= len(tasks))
    names = short_labels(context.labels)
    published = Line2D([], [], label=f"published {context.baseline}", **_LINES["published"])
    handles = [
        Line2D([], [], color=FAINT, linewidth=0.8, label=f"{context.baseline}, each rate"),
        Line2D([], [], color=BASELINE, linewidth=0.9, linestyle="--", label="best single rate"),
        Line2D([], [], color=WIDE, linewidth=2.4, label="envelope over rates"),
        *([published] if "published" in set(curves["series"]) else []),
        *(Line2D([], [], color=styles[x].color, linewidth=1.2, label=names[x]) for x in styles),
    ]
    legend_above(figure, handles, columns=6)
    return figure


def _panel(
    axes: Axes,
    curves: pd.DataFrame,
    summary: pd.DataFrame,
    styles: Mapping[str, SeriesStyle],
    *,
    title: str,
) -> None:
    rows = summary.to_dict("records")
    if any(row["saturated"] for row in rows):
        title += " (saturated)"
    if any(sweep_stopped(row) for row in rows):
        title += f", {sweep_text(rows[0])}"
    axes.set_title(title, loc="left", fontsize=7, pad=10)
    for place, row in enumerate(rows if len(rows) <= _VERDICTS else []):
        axes.annotate(
            _verdict(row, short=len(rows) > 2), (place / max(len(rows), 3), 1.0),
            xycoords="axes fraction", xytext=(0, 2), textcoords="offset points",
            fontsize=6.5, color=styles[row["label"]].color, fontweight="bold",
        )  # fmt: skip
    if not len(curves):
        axes.text(0.5, 0.5, "no results", transform=axes.transAxes, ha="center", color="#777777")
        axes.set_xticks([])
        axes.set_yticks([])
        return
    found = panel(curves, max((int(row["steps"]) for row in rows), default=0))
    for curve in found.curves:
        look = dict(_LINES[curve.series])
        if curve.series == "seed":
            look["color"] = styles[curve.label].color
        axes.plot(curve.steps, curve.losses, **look)
        if curve.stopped:
            end = curve.steps[-1:], curve.losses[-1:]
            axes.plot(*end, "x", color=look["color"], markersize=4, zorder=5)
    if found.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(found.low, found.high)
    axes.yaxis.set_major_locator(found.loss_locator(6 if found.log else 4))
    axes.set_xlim(0, found.last)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if len(rows) == 1:
        _guide(axes, curves, rows[0], styles[rows[0]["label"]].color)


def _verdict(row: Row, *, short: bool) -> str:
    """Return the speedup, or why there is none; the reason in at most 5 letters if ``short``."""
    text = str(row["status"])
    if np.isfinite(row["speedup_steps_default"]):
        text = format_ratio(
            float(row["speedup_steps_default"]),
            censored=row["censored_default"],
            diverged=bool(row["diverged_default"]),
        )
    return _SHORT.get(text, text) if short else text


def _guide(axes: Axes, curves: pd.DataFrame, row: Row, color: str) -> None:
    """Draw a level line from the candidate's end to where the envelope reaches it."""
    ratio = row["speedup_steps_default"]
    if not (np.isfinite(ratio) and ratio > 0) or row["censored_default"] != "no":
        return
    reached = curves.loc[curves["series"] == "envelope"]
    at = ratio * row["steps"]
    level = float(np.interp(at, reached["step"].to_numpy(), reached["loss"].to_numpy()))
    axes.plot(
        [row["steps"], at], [level, level], color=color, linewidth=0.8, linestyle=":", zorder=3
    )
