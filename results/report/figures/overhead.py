"""The cost of a step: seconds over the baseline's against size, and compile time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from velodrome.results.report.context import Context
from velodrome.results.report.data import ReportData
from velodrome.results.report.figures.figure import Plot
from velodrome.results.report.figures.log2axis import limits, set_log2
from velodrome.results.report.figures.style import (
    BASELINE_STYLE,
    SeriesStyle,
    axis_label,
    handles,
    legend_above,
    new_figure,
    series_styles,
)

_SIZES = {"parameters": "parameters", "batch_size": "batch size"}


def plots(data: ReportData) -> Iterator[Plot]:
    """Yield one figure, if anything was timed."""
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
        alt=f"Seconds per step over those of {data.context.baseline}. {words}.",
        table=data.overhead,
        draw=partial(draw, data.overhead, data.context),
    )


def _meaning(table: pd.DataFrame) -> str:
    against = " and ".join(_sizes(table).values())
    parts = [
        "Seconds per step over those of {baseline}: one warm run at a time, in turns, in one "
        f"process (median of the samples); against {against}"
    ]
    if len(_memory_ratios(table)):
        parts.append("memory of the training program over {baseline}'s, against parameters")
    if _compiled(table):
        parts.append("seconds to compile the training program, a mark for each task")
    return "; ".join(parts) + "."


def _sizes(table: pd.DataFrame) -> dict[str, str]:
    """Return columns against which ratios are drawn, and their titles."""
    known = {name: words for name, words in _SIZES.items() if bool(table[name].notna().any())}
    return known or {"index": "task"}


def _compiled(table: pd.DataFrame) -> bool:
    return bool(table["compile_seconds"].notna().any())


def draw(table: pd.DataFrame, context: Context) -> Figure:
    """Draw the ratio against sizes, memory against parameters, and a strip of compile times.

    Args:
      table: See ``velodrome.results.analyses.overhead.OVERHEAD_COLUMNS``.
      context: Names the baseline and the optimizers.
    """
    styles = series_styles(context.labels, table["label"])
    sizes, compiled = _sizes(table), _compiled(table)
    rows, memory = table.loc[~table["baseline"].astype(bool)], _memory_ratios(table)
    scatters = [(name, words, rows, "ratio") for name, words in sizes.items()]
    scatters += [("parameters", "parameters", memory, "over")] if len(memory) else []
    panels = len(scatters) + compiled
    figure = new_figure(max(3.4, 2.25 * panels), 2.2)
    grid = np.atleast_1d(figure.subplots(1, panels))
    for axes, (name, words, found, ratio) in zip(grid, scatters, strict=False):
        _scatter(axes, found, name, ratio, styles)
        axes.set_xlabel(words)
    grid[0].set_ylabel(axis_label(f"seconds per step\nover {context.baseline}", 1.7))
    if len(memory):
        grid[len(sizes)].set_ylabel(axis_label(f"memory over {context.baseline}", 1.7))
    drawn = dict(styles)
    if compiled:
        _compile(grid[-1], table, {context.baseline: BASELINE_STYLE, **styles})
        drawn |= {context.baseline: BASELINE_STYLE}
    legend_above(figure, handles(drawn), columns=6)
    return figure


def _memory_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Return memory over the baseline's on the same task, where both were measured."""
    of_baseline = table["baseline"].astype(bool)
    base = table.loc[of_baseline].dropna(subset=["memory_bytes"]).drop_duplicates("index")
    found = table.loc[~of_baseline].assign(
        over=lambda rows: (
            rows["memory_bytes"] / rows["index"].map(base.set_index("index")["memory_bytes"])
        )
    )
    return found.dropna(subset=["over", "parameters"])


def _scatter(
    axes: Axes, rows: pd.DataFrame, size: str, ratio: str, styles: Mapping[str, SeriesStyle]
) -> None:
    """Draw ratios to the baseline against a size."""
    for label, (color, marker) in styles.items():
        mine = rows.loc[rows["label"] == label]
        axes.plot(
            mine[size], np.log2(mine[ratio].to_numpy(float)), marker, color=color,
            markersize=3.5, alpha=0.8, markeredgewidth=0,
        )  # fmt: skip
    set_log2(axes, *limits(np.log2(rows[ratio].to_numpy(float)), low=-1, high=2))
    if size == "index":
        axes.set_xlim(-0.5, float(np.max(rows[size])) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    else:
        _log_axis(axes, rows[size].to_numpy(float))


def _compile(axes: Axes, table: pd.DataFrame, styles: Mapping[str, SeriesStyle]) -> None:
    """Draw the compile times of every optimizer in a column."""
    for place, (label, (color, marker)) in enumerate(styles.items()):
        values = table.loc[table["label"] == label, "compile_seconds"].dropna().to_numpy(float)
        spread = np.linspace(-0.22, 0.22, len(values)) if len(values) > 1 else np.zeros(len(values))
        axes.plot(place + spread, values, marker, color=color, markersize=3, alpha=0.8,
                  markeredgewidth=0)  # fmt: skip
        if len(values):
            axes.hlines(np.median(values), place - 0.32, place + 0.32, color=color, linewidth=1.4)
    axes.set_xticks(range(len(styles)), [""] * len(styles))
    axes.set_xlim(-0.6, len(styles) - 0.4)
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel("optimizer")
    axes.set_ylabel("compile seconds")


def _log_axis(axes: Axes, values: np.ndarray) -> None:
    axes.set_xscale("log")
    finite = values[np.isfinite(values) & (values > 0)]
    low, high = float(finite.min()) / 1.5, float(finite.max()) * 1.5
    axes.set_xlim(low, high)
    narrow = high / low < 30
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 3) if narrow else (1,), numticks=5))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
