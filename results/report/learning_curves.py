"""Learning curves as small multiples: every rate of the sweep, their envelope, the candidates."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from results.report.context import Context
from results.report.style import BASELINE, FAINT, looks, new_figure, wrapped
from results.speedup import format_ratio


def draw(curves: pd.DataFrame, summary: pd.DataFrame, context: Context, *, note: str) -> Figure:
    """Draws one panel per task.

    Args:
      curves: see ``results.report.plotdata.learning_curves``.
      summary: see ``results.summary.COLUMNS``.
      context: what the results are of.
      note: more of the caption.
    """
    tasks = list(dict.fromkeys(zip(summary["index"], summary["task"], strict=True)))
    columns = _columns(len(tasks))
    rows = math.ceil(max(1, len(tasks)) / columns)
    width = max(3.6, 1.85 * columns)
    figure = new_figure(width, 1.55 * rows + 0.95)
    grid = np.atleast_2d(figure.subplots(rows, columns, squeeze=False))
    styles = looks(context.labels)
    for place, axes in enumerate(grid.flat):
        if place >= len(tasks):
            axes.set_axis_off()
            continue
        index, name = tasks[place]
        mine = curves[curves["index"] == index] if len(curves) else curves
        info = summary[summary["index"] == index]
        _panel(axes, mine, info, styles, title=str(name))
        bottom = place + columns >= len(tasks)
        axes.tick_params(labelbottom=bottom)
        if bottom:
            axes.set_xlabel("step", labelpad=1)
        if place % columns == 0:
            axes.set_ylabel("train loss", labelpad=1)
    handles = [
        Line2D([], [], color=FAINT, linewidth=0.8, label=f"{context.baseline}, each rate"),
        Line2D([], [], color=BASELINE, linewidth=1.0, linestyle="--", label="best single rate"),
        Line2D([], [], color=BASELINE, linewidth=1.5, label="envelope over rates"),
        *(Line2D([], [], color=styles[x][0], linewidth=1.2, label=x) for x in context.labels),
    ]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=min(len(handles), max(2, columns)),
        columnspacing=1.4,
    )  # fmt: skip
    figure.supxlabel(
        wrapped(f"{context.line} {note}", width_inches=width),
        fontsize=6.5, color="#555555", x=0.01, ha="left",
    )  # fmt: skip
    return figure


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
    speedups = [
        format_ratio(float(row["speedup_steps_default"]), censored=row["censored_default"],
                     diverged=bool(row["diverged_default"]))
        if np.isfinite(row["speedup_steps_default"]) else str(row["status"])
        for row in summary.to_dict("records")
    ]  # fmt: skip
    axes.set_title(title, loc="left", fontsize=7, pad=10)
    at = 0.0
    for label, text in zip(summary["label"], speedups, strict=True):
        if len(speedups) > 4:
            break
        axes.annotate(
            text, (at, 1.0), xycoords="axes fraction", xytext=(0, 2), textcoords="offset points",
            fontsize=6.5, color=styles[label][0], fontweight="bold",
        )  # fmt: skip
        at += 0.27 if len(speedups) > 2 else 0.4
    if bool(summary["saturated"].any()):
        axes.annotate(
            "saturated", (1.0, 1.0), xycoords="axes fraction", xytext=(0, 2), ha="right",
            textcoords="offset points", fontsize=6.5, color="#777777", fontstyle="italic",
        )  # fmt: skip
    if not len(curves):
        axes.text(0.5, 0.5, "no results", transform=axes.transAxes, ha="center", color="#777777")
        axes.set_xticks([])
        axes.set_yticks([])
        return
    _limits(axes, curves)
    for (series, label, _, _), part in curves.groupby(
        ["series", "label", "rate", "seed"], sort=False, dropna=False
    ):
        line = {
            "rate": {"color": FAINT, "linewidth": 0.6, "zorder": 1},
            "best": {"color": BASELINE, "linewidth": 0.9, "linestyle": "--", "zorder": 2},
            "envelope": {"color": BASELINE, "linewidth": 1.3, "zorder": 3},
        }.get(str(series))
        if line is None:
            line = {"color": styles[str(label)][0], "linewidth": 0.9, "zorder": 4, "alpha": 0.85}
        axes.plot(part["step"], part["loss"], **line)


def _limits(axes: Axes, curves: pd.DataFrame) -> None:
    """From the lowest loss to a little above the first one; what diverges leaves the panel."""
    shown = curves[curves["series"] != "rate"]
    first = float(curves.loc[curves["step"] == curves["step"].min(), "loss"].median())
    lowest = float(shown["loss"].min())
    if lowest > 0 and first / lowest > 6:
        axes.set_yscale("log")
        axes.set_ylim(lowest / 1.15, first * 1.3)
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0), numticks=8))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        span = max(first - lowest, 1e-9)
        axes.set_ylim(lowest - 0.06 * span, first + 0.12 * span)
        axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlim(0, float(curves["step"].max()))
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
