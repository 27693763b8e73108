"""What a step costs: seconds over the baseline's against size, and compile time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from velodrome.results.report.context import Context
from velodrome.results.report.data import ReportData
from velodrome.results.report.figures.figure import Plot
from velodrome.results.report.figures.log2axis import limits, set_log2
from velodrome.results.report.figures.style import (
    BASELINE,
    axis_label,
    handles,
    legend_above,
    looks,
    new_figure,
)

_SIZES = {"parameters": "parameters", "batch_size": "batch size"}


def plots(data: ReportData) -> Iterator[Plot]:
    """One figure, if anything was timed."""
    timed = data.overhead["ratio"].notna() & ~data.overhead["baseline"].astype(bool)
    if not bool(np.any(timed)):
        return
    medians = data.overhead.loc[timed].groupby("label", sort=False)["ratio"]
    words = "; ".join(
        f"{label}: median {rows.median():.2f} times, from {rows.min():.2f} to {rows.max():.2f}"
        for label, rows in medians
    )
    yield Plot(
        name="overhead",
        section="overhead",
        title=f"Cost of a step over {data.context.baseline}",
        caption=data.context.caption(_meaning(data.overhead)),
        alt=f"Seconds a step over those of {data.context.baseline}. {words}.",
        table=data.overhead,
        draw=partial(draw, data.overhead, data.context),
    )


def _meaning(table: pd.DataFrame) -> str:
    """What the panels show, of those that are drawn."""
    against = " and ".join(_sizes(table).values())
    parts = [
        "Seconds a step over those of {baseline}, one run alone, warm, measured in turns in one "
        f"process (median of the samples), against {against}"
    ]
    if len(_memory_ratios(table)):
        parts.append("memory of the training program over {baseline}'s, against parameters")
    if _compiled(table):
        parts.append("seconds to compile the training program, every mark a task")
    return "; ".join(parts) + "."


def _sizes(table: pd.DataFrame) -> dict[str, str]:
    """Columns that ratios are drawn against, and their titles."""
    known = {name: words for name, words in _SIZES.items() if bool(table[name].notna().any())}
    return known or {"index": "task"}


def _compiled(table: pd.DataFrame) -> bool:
    return bool(table["compile_seconds"].notna().any())


def draw(table: pd.DataFrame, context: Context) -> Figure:
    """Draws two scatters of the ratio and a strip of compile times.

    Args:
      table: see ``velodrome.results.analyses.overhead.OVERHEAD_COLUMNS``.
      context: what the results are of.
    """
    styles = looks(context.labels)
    sizes, compiled = _sizes(table), _compiled(table)
    memory = _memory_ratios(table)
    panels = len(sizes) + compiled + bool(len(memory))
    width = max(3.4, 2.25 * panels)
    labels = [label for label in context.labels if label in set(table["label"])]
    figure = new_figure(width, 2.2)
    grid = np.atleast_1d(figure.subplots(1, panels))
    rows = table.loc[~table["baseline"].astype(bool)]
    low, high = limits(np.log2(rows["ratio"].to_numpy(float)), low=-1, high=2)
    for axes, (name, words) in zip(grid, sizes.items(), strict=False):
        for label in labels:
            mine = rows.loc[rows["label"] == label]
            color, marker = styles[label]
            axes.plot(
                mine[name], np.log2(mine["ratio"].to_numpy(float)), marker, color=color,
                markersize=3.5, alpha=0.8, markeredgewidth=0,
            )  # fmt: skip
        set_log2(axes, low, high)
        axes.axhline(0, color="#333333", linewidth=0.8, zorder=1)
        axes.set_xlabel(words)
        if name == "index":
            axes.set_xlim(-0.5, float(np.max(rows[name])) + 0.5)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        else:
            _log_axis(axes, rows[name].to_numpy(float))
    grid[0].set_ylabel(axis_label(f"seconds a step\nover {context.baseline}", 1.7))
    if len(memory):
        _memory(grid[len(sizes)], memory, labels, context, styles)
    if compiled:
        _compile(grid[-1], table, labels, context, styles)
    drawn = {label: styles[label] for label in labels}
    drawn |= {context.baseline: (BASELINE, "o")} if compiled else {}
    legend_above(figure, handles(drawn), columns=6)
    return figure


def _memory_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Memory over the baseline's on the same task, where both were measured."""
    of_baseline = table["baseline"].astype(bool)
    base = table.loc[of_baseline].dropna(subset=["memory_bytes"]).drop_duplicates("index")
    found = table.loc[~of_baseline].assign(
        over=lambda rows: (
            rows["memory_bytes"] / rows["index"].map(base.set_index("index")["memory_bytes"])
        )
    )
    return found.dropna(subset=["over", "parameters"])


def _memory(axes, table: pd.DataFrame, labels: list[str], context: Context, styles) -> None:
    """Memory over the baseline's against parameters."""
    for label in labels:
        mine = table.loc[table["label"] == label]
        color, marker = styles[label]
        axes.plot(
            mine["parameters"], np.log2(mine["over"].to_numpy(float)), marker, color=color,
            markersize=3.5, alpha=0.8, markeredgewidth=0,
        )  # fmt: skip
    low, high = limits(np.log2(table["over"].to_numpy(float)), low=-1, high=2)
    set_log2(axes, low, high)
    axes.axhline(0, color="#333333", linewidth=0.8, zorder=1)
    axes.set_xlabel("parameters")
    axes.set_ylabel(axis_label(f"memory over {context.baseline}", 1.7))
    _log_axis(axes, table["parameters"].to_numpy(float))


def _compile(axes, table: pd.DataFrame, labels: list[str], context: Context, styles) -> None:
    """Compile times of every optimizer, one column each."""
    shown = [context.baseline, *labels]
    for place, label in enumerate(shown):
        values = table.loc[table["label"] == label, "compile_seconds"].dropna().to_numpy(float)
        color, marker = styles.get(label, (BASELINE, "o"))
        spread = np.linspace(-0.22, 0.22, len(values)) if len(values) > 1 else np.zeros(len(values))
        axes.plot(place + spread, values, marker, color=color, markersize=3, alpha=0.8,
                  markeredgewidth=0)  # fmt: skip
        if len(values):
            axes.hlines(np.median(values), place - 0.32, place + 0.32, color=color, linewidth=1.4)
    axes.set_xticks(range(len(shown)), [""] * len(shown))
    axes.set_xlim(-0.6, len(shown) - 0.4)
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel("optimizer")
    axes.set_ylabel("compile seconds")


def _log_axis(axes, values: np.ndarray) -> None:
    axes.set_xscale("log")
    finite = values[np.isfinite(values) & (values > 0)]
    low, high = float(finite.min()) / 1.5, float(finite.max()) * 1.5
    axes.set_xlim(low, high)
    narrow = high / low < 30
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 3) if narrow else (1,), numticks=5))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
