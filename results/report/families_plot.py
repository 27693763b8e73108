"""Speedups by family: every task a mark, with the family's median and interval."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from results.report.context import Context
from results.report.data import ReportData
from results.report.log2axis import MARGIN, limits, set_log2
from results.report.plot import Plot
from results.report.plotdata import sorted_speedups
from results.report.style import handles, legend_above, looks, new_figure
from results.speedup import format_ratio

_MEANING = (
    "Small marks: tasks, triangles where they are right-censored, at 0x where they diverged or "
    "made no progress. Upright bars: the family's median; shaded: its 95% interval, same tasks, "
    "seeds drawn anew. Saturated tasks are left out."
)


def plots(data: ReportData) -> Iterator[Plot]:
    """Strips of speedups in steps and in seconds."""
    for unit in ("steps", "seconds"):
        tasks = sorted_speedups(data.results, unit=unit)
        medians = data.families.loc[data.families["unit"] == unit]
        if tasks.empty:
            continue
        words = "; ".join(
            f"{row['family']}, {row['label']}: median "
            f"{format_ratio(row['median'], censored='right' if row['lower_bound'] else 'no')} over "
            f"{row['tasks']} tasks, worst {format_ratio(row['worst'])} on {row['worst_task']}"
            for row in medians.to_dict("records")
        )
        yield Plot(
            name=f"families_{unit}",
            section="families",
            title=f"Speedup by family, in {unit}",
            caption=f"{data.context.line} {data.counts} {_MEANING}",
            alt=f"Speedups in {unit} by family. {words}.",
            table=tasks,
            draw=partial(draw, tasks, medians, data.context, unit=unit),
        )


def draw(
    tasks: pd.DataFrame, medians: pd.DataFrame, context: Context, *, unit: str = "steps"
) -> Figure:
    """Draws a row for each family, in it a line for each optimizer.

    Args:
      tasks: see ``results.report.plotdata.sorted_speedups``.
      medians: see ``results.families.FAMILY_COLUMNS``, of this unit.
      context: what the results are of.
      unit: ``"steps"`` or ``"seconds"``.
    """
    styles = looks(context.labels)
    families = list(dict.fromkeys(medians["family"]))
    labels = [label for label in context.labels if label in set(tasks["label"])]
    slot = 0.2 if len(labels) <= 2 else 0.13
    legend = 0.16 * math.ceil(len(labels) / 3)
    height = 0.7 + legend + len(families) * (slot * len(labels) + 0.1)
    figure = new_figure(4.6, height)
    axes = figure.add_subplot()
    values = tasks["log2_speedup"].to_numpy(float)
    low, high = limits(values)
    set_log2(axes, low, high, floor=bool((values < low).any()), which="x")
    axes.axvline(0, color="#333333", linewidth=0.8, zorder=1)
    for place, family in enumerate(families):
        for number, label in enumerate(labels):
            y = place + (number - (len(labels) - 1) / 2) * 0.8 / len(labels)
            mine = tasks.loc[(tasks["label"] == label) & (tasks["family"] == family)]
            _strip(axes, mine, y, styles[label], low=low)
            for row in medians.loc[
                (medians["label"] == label) & (medians["family"] == family)
            ].to_dict("records"):
                _median(axes, row, y, styles[label][0], half=0.36 / len(labels), low=low)
        if place:
            axes.axhline(place - 0.5, color="#d8d8d8", linewidth=0.5)
    counts = dict(zip(medians["family"], medians["tasks"], strict=True))
    axes.set_yticks(range(len(families)), [f"{name}\n({counts[name]})" if len(labels) > 1
                                           else f"{name} ({counts[name]})"
                                           for name in families])  # fmt: skip
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(families) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"speedup over {context.tuned}, in {unit}")
    legend_above(figure, handles({label: styles[label] for label in labels}))
    return figure


def _strip(axes, mine: pd.DataFrame, y: float, look: tuple[str, str], *, low: int) -> None:
    """Marks of the tasks, apart from each other by a fixed pattern."""
    color, marker = look
    x = mine["log2_speedup"].to_numpy(float)
    right = (mine["censored"] == "right").to_numpy(bool)
    x = np.where(x < low, low - MARGIN, x)
    for chosen, symbol in ((~right, marker), (right, ">")):
        axes.plot(x[chosen], np.full(chosen.sum(), y), symbol, color=color, markersize=3.2,
                  alpha=0.7, markeredgewidth=0, zorder=3)  # fmt: skip


def _median(axes, row, y: float, color: str, *, half: float, low: int) -> None:
    bottom = 2.0 ** (low - MARGIN)
    middle, left, right = (
        float(np.log2(max(row[name], bottom))) for name in ("median", "low", "high")
    )
    axes.fill_between([left, right], y - half, y + half, color=color, alpha=0.18, linewidth=0)
    axes.vlines(middle, y - half, y + half, color=color, linewidth=1.6, zorder=4)
