"""Learning curves as small multiples: every rate of the sweep, their envelope, the candidates."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from velodrome.foundation.text import plural
from velodrome.results.report.context import Context
from velodrome.results.report.data import ReportData
from velodrome.results.report.figures.figure import Plot
from velodrome.results.report.figures.style import (
    BASELINE,
    FAINT,
    WIDE,
    legend_above,
    looks,
    new_figure,
    short_labels,
)
from velodrome.results.speedup.speedup import format_ratio

_MEANING = "Losses are smoothed as in the default definition."
_RATIOS = (
    " Above each panel: speedup in steps, the step at which the envelope reaches the candidate's "
    "last loss over the candidate's steps."
)
_VERDICTS = 4
"""Most optimizers whose speedups have room above a panel."""
PANELS = 24
"""Most panels of one figure: more would be illegible at the width of a page."""


def plots(data: ReportData) -> Iterator[Plot]:
    """One figure, or as many as there are pages of :data:`PANELS` tasks."""
    # A store may have the baseline alone: then nothing is in the summary.
    indices = list(dict.fromkeys([*data.summary["index"], *data.curves["index"]]))
    if not indices:
        return
    told = 0 < len(data.context.labels) <= _VERDICTS
    pages = max(1, math.ceil(len(indices) / PANELS))
    size = math.ceil(len(indices) / pages)
    for page in range(pages):
        chosen = indices[page * size : (page + 1) * size]
        summary = data.summary.loc[data.summary["index"].isin(chosen)]
        curves = data.curves.loc[data.curves["index"].isin(chosen)]
        which = f", page {page + 1} of {pages}" if pages > 1 else ""
        yield Plot(
            name="learning_curves" + (f"_{page + 1}" if pages > 1 else ""),
            section="curves",
            title=f"Learning curves{which}",
            caption=f"{data.context.line} {_counts(summary)}{_MEANING}{_RATIOS if told else ''}",
            alt=_words(summary),
            table=curves,
            draw=partial(draw, curves, summary, data.context),
        )


def _words(summary: pd.DataFrame) -> str:
    rows = (
        f"{row['task']}: {row['label']} {_verdict(row, short=False)}"
        for row in summary.to_dict("records")
    )
    text = "; ".join(rows) or "There are no optimizers beside the baseline."
    return f"Train losses against steps, and the speedup in steps of each task. {text}"


def _counts(summary: pd.DataFrame) -> str:
    """How many of the tasks that are drawn are censored, saturated, ...: of each optimizer."""
    parts = []
    for label, rows in summary.groupby("label", sort=False):
        found = sorted(Counter(rows["status"]).items())
        counts = "".join(f", {count} {status}" for status, count in found if status != "ok")
        parts.append(f"{label}: {plural(len(rows), 'task')}{counts}. ")
    return "".join(parts)


def draw(curves: pd.DataFrame, summary: pd.DataFrame, context: Context) -> Figure:
    """Draws one panel per task.

    Args:
      curves: see ``velodrome.results.report.plot_data.learning_curves``.
      summary: see ``velodrome.results.analyses.summary.COLUMNS``.
      context: what the results are of.
    """
    tasks = _tasks(summary) or _tasks(curves)
    columns = _columns(max(1, len(tasks)))
    rows = math.ceil(max(1, len(tasks)) / columns)
    width = max(3.6, 1.85 * columns)
    figure = new_figure(width, 1.5 * rows + 0.3)
    grid = np.atleast_2d(figure.subplots(rows, columns, squeeze=False))
    styles = looks(context.labels)
    names = short_labels(context.labels)
    for place, axes in enumerate(grid.flat):
        if place >= len(tasks):
            axes.set_axis_off()
            continue
        index, name = tasks[place]
        mine = curves.loc[curves["index"] == index] if len(curves) else curves
        info = summary.loc[summary["index"] == index]
        _panel(axes, mine, info, styles, title=str(name))
        axes.tick_params(labelbottom=place + columns >= len(tasks))
        if place // columns == rows - 1:
            axes.set_xlabel("step", labelpad=1)
        if place % columns == 0:
            axes.set_ylabel("train loss", labelpad=1)
    published = Line2D([], [], label=f"published {context.baseline}", **_LINES["published"])
    handles = [
        Line2D([], [], color=FAINT, linewidth=0.8, label=f"{context.baseline}, each rate"),
        Line2D([], [], color=BASELINE, linewidth=0.9, linestyle="--", label="best single rate"),
        Line2D([], [], color=WIDE, linewidth=2.4, label="envelope over rates"),
        *([published] if "published" in set(curves["series"]) else []),
        *(Line2D([], [], color=styles[x][0], linewidth=1.2, label=names[x]) for x in styles),
    ]
    legend_above(figure, handles, columns=6)
    return figure


def _tasks(table: pd.DataFrame) -> list[tuple[Any, Any]]:
    return list(dict.fromkeys(zip(table["index"], table["task"], strict=True)))


def _columns(tasks: int) -> int:
    return tasks if tasks <= 3 else 4 if tasks <= 16 else 6


def _panel(
    axes: Axes,
    curves: pd.DataFrame,
    summary: pd.DataFrame,
    styles: dict[str, tuple[str, str]],
    *,
    title: str,
) -> None:
    if bool(summary["saturated"].any()):
        title += " (saturated)"
    axes.set_title(title, loc="left", fontsize=7, pad=10)
    rows = summary.to_dict("records")
    for place, row in enumerate(rows if len(rows) <= _VERDICTS else []):
        axes.annotate(
            _verdict(row, short=len(rows) > 2), (place / max(len(rows), 3), 1.0),
            xycoords="axes fraction", xytext=(0, 2), textcoords="offset points",
            fontsize=6.5, color=styles[row["label"]][0], fontweight="bold",
        )  # fmt: skip
    if not len(curves):
        axes.text(0.5, 0.5, "no results", transform=axes.transAxes, ha="center", color="#777777")
        axes.set_xticks([])
        axes.set_yticks([])
        return
    _limits(axes, curves)
    horizon = summary["steps"].max()
    keys = ["series", "label", "rate", "seed"]
    for _, part in curves.groupby(keys, sort=False, dropna=False):
        series, label = part["series"].iloc[0], part["label"].iloc[0]
        steps, losses = part["step"].to_numpy(), part["loss"].to_numpy()
        if series != "seed":
            axes.plot(steps, losses, **_LINES[series])
            continue
        color = styles[label][0]
        axes.plot(steps, losses, color=color, linewidth=0.9, zorder=4, alpha=0.85)
        if steps[-1] < horizon:
            axes.plot(steps[-1:], losses[-1:], "x", color=color, markersize=4, zorder=5)
    if len(summary) == 1:
        _guide(axes, curves, summary.to_dict("records")[0], styles)


_LINES: dict[str, dict[str, Any]] = {
    "rate": {"color": FAINT, "linewidth": 0.6, "zorder": 1},
    "envelope": {"color": WIDE, "linewidth": 2.4, "zorder": 2},
    "best": {"color": BASELINE, "linewidth": 0.9, "linestyle": "--", "zorder": 3},
    "published": {"color": "black", "linewidth": 0.9, "linestyle": ":", "zorder": 3},
}


def _verdict(row: dict[Any, Any], *, short: bool) -> str:
    """The speedup, or why there is none, in at most 5 letters if ``short``."""
    text = str(row["status"])
    if np.isfinite(row["speedup_steps_default"]):
        text = format_ratio(
            float(row["speedup_steps_default"]),
            censored=row["censored_default"],
            diverged=bool(row["diverged_default"]),
        )
    return (
        {"diverged": "div.", "failed": "fail", "missing": "none", "incomplete": "part"}.get(
            text, text
        )
        if short
        else text
    )


def _guide(
    axes: Axes, curves: pd.DataFrame, row: dict[Any, Any], styles: dict[str, tuple[str, str]]
) -> None:
    """A level line from the candidate's end to where the envelope reaches it."""
    ratio = row["speedup_steps_default"]
    if not (np.isfinite(ratio) and ratio > 0) or row["censored_default"] != "no":
        return
    reached = curves.loc[curves["series"] == "envelope"]
    at = ratio * row["steps"]
    level = float(np.interp(at, reached["step"].to_numpy(), reached["loss"].to_numpy()))
    axes.plot(
        [row["steps"], at], [level, level], color=styles[row["label"]][0], linewidth=0.8,
        linestyle=":", zorder=3,
    )  # fmt: skip


def _limits(axes: Axes, curves: pd.DataFrame) -> None:
    """From the lowest loss to a little above the first one; what diverges leaves the panel."""
    steps, losses = curves["step"].to_numpy(float), curves["loss"].to_numpy(float)
    first = float(np.median(losses[steps == steps.min()]))
    chosen = (curves["series"] != "rate").to_numpy()
    # An incomplete sweep may have nothing but rates.
    lowest = float(losses[chosen if chosen.any() else slice(None)].min())
    if lowest > 0 and first / lowest > 6:
        axes.set_yscale("log")
        axes.set_ylim(lowest / 1.15, first * 1.3)
        wide = first / lowest > 30
        subs = (1.0,) if first / lowest > 300 else (1.0, 3.0) if wide else (1.0, 2.0, 5.0)
        axes.yaxis.set_major_locator(LogLocator(10, subs=subs, numticks=6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        span = max(first - lowest, 1e-9)
        axes.set_ylim(lowest - 0.06 * span, first + 0.12 * span)
        axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlim(0, steps.max())
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
