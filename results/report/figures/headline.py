"""The headline as intervals: median and interquartile mean in every unit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from velodrome.results.analyses.headline import ratio_text
from velodrome.results.report.context import Context
from velodrome.results.report.data import ReportData
from velodrome.results.report.figures.figure import Plot
from velodrome.results.report.figures.log2axis import limits, set_log2
from velodrome.results.report.figures.style import handles, legend_above, looks, new_figure

_ROWS = (
    ("steps", "train", "steps"),
    ("seconds", "train", "seconds"),
    ("cost", "train", "steps, equal\ntuning cost"),
    ("cost-seconds", "train", "seconds, equal\ntuning cost"),
    ("steps", "heldout", "steps,\nheld-out loss"),
)
_MEANING = (
    "Filled: median over tasks of the tasks' medians over seeds; hollow: interquartile mean over "
    "all tasks and seeds, both in log2. Thick bars: 95% interval for the same tasks and new seeds "
    "(stratified bootstrap); thin bars: for new tasks and new seeds (two-level bootstrap). "
    "Arrows: the number, or that end of the interval, is a lower bound, because the baseline's "
    "budget ends there. Equal tuning cost: all trials of the baseline's sweep against all of the "
    "optimizer's own; meta-training is not counted."
)


def plots(data: ReportData) -> Iterator[Plot]:
    """One figure, unless no task has a speedup."""
    chosen = data.headline["statistic"].isin(["median", "iqm"])
    chosen &= (data.headline["scope"] == "headline") & (data.headline["tasks"] > 0)
    table = data.headline.loc[chosen].reset_index(drop=True)
    if table.empty:
        return
    seeds = int(table["seeds"].min())
    narrow = f" {seeds} seed{'s' * (seeds != 1)}" + (
        ": intervals are narrow with so few." if seeds < 5 else "."
    )
    yield Plot(
        name="headline",
        section="headline",
        title=f"Speedup over {data.context.tuned}",
        caption=f"{data.context.line} {data.counts} {_MEANING}{narrow}",
        alt="; ".join(
            f"{h.label}, {h.unit}, {h.split} loss: median {ratio_text(h.median)}, interquartile "
            f"mean {ratio_text(h.iqm)} over {h.tasks} tasks"
            for h in data.headlines
            if h.scope == "headline" and h.tasks
        ),
        table=data.headline,
        draw=partial(draw, table, data.context),
    )


def draw(table: pd.DataFrame, context: Context) -> Figure:
    """Draws a row for each unit, with all optimizers in it.

    Args:
      table: medians and interquartile means, see ``velodrome.results.analyses.headline.HEADLINE_COLUMNS``.
      context: what the results are of.
    """
    styles = looks(context.labels)
    kinds = {(str(u), str(s)) for u, s in zip(table["unit"], table["split"], strict=True)}
    rows = [row for row in _ROWS if row[:2] in kinds]
    labels = [label for label in context.labels if label in set(table["label"])]
    slot = 0.12 if len(labels) > 2 else 0.17
    figure = new_figure(4.6, 0.75 + len(rows) * max(0.34, slot * (len(labels) + 0.8)))
    axes = figure.add_subplot()
    ends = table[["value", "low_new_tasks", "high_new_tasks"]].to_numpy(float).ravel()
    with np.errstate(divide="ignore"):
        low, high = limits(np.log2(ends), low=-1, high=2)
    set_log2(axes, low, high, which="x")
    axes.axvline(0, color="#333333", linewidth=0.8, zorder=1)
    for place, (unit, split, _) in enumerate(rows):
        for number, label in enumerate(labels):
            y = place + (number - (len(labels) - 1) / 2) * 0.8 / len(labels)
            mine = table.loc[
                (table["unit"] == unit) & (table["split"] == split) & (table["label"] == label)
            ]
            for found in mine.to_dict("records"):
                hollow = found["statistic"] == "iqm"
                offset = (0.2 if hollow else -0.2) * 0.8 / len(labels)
                _interval(axes, found, y + offset, styles[label], low=low, hollow=hollow)
        if place:
            axes.axhline(place - 0.5, color="#d8d8d8", linewidth=0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [name for *_, name in rows])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"speedup over {context.tuned}")
    entries = handles({label: styles[label] for label in labels})
    grey = {"color": "#555555", "marker": "o", "markersize": 4, "linestyle": ""}
    entries += [
        Line2D([], [], label="median", **grey),
        Line2D([], [], label="IQM", markerfacecolor="white", **grey),
    ]
    legend_above(figure, entries)
    return figure


def _interval(axes, found, y: float, look: tuple[str, str], *, low: int, hollow: bool) -> None:
    """A mark with its thick and its thin bar; an arrow at whatever is a lower bound."""
    color, marker = look
    bottom = 2.0 ** (low - 1)

    def log2(name: str) -> float:
        return float(np.log2(max(found[name], bottom)))

    for kind, width, alpha in (("_new_tasks", 0.7, 1.0), ("", 2.2, 0.75)):
        if np.isnan(found[f"low{kind}"]):
            continue
        ends = [log2(f"low{kind}"), log2(f"high{kind}")]
        axes.hlines(y, *ends, color=color, linewidth=width, alpha=alpha)
        opens = [found[f"low{kind}_open"], found[f"high{kind}_open"]]
        beyond = [end + 0.05 for end, is_open in zip(ends, opens, strict=True) if is_open]
        axes.plot(beyond, [y] * len(beyond), ">", color=color, markersize=2.5, markeredgewidth=0)
    axes.plot(
        log2("value"), y, marker, color=color, markersize=4, zorder=4, markeredgewidth=0.8,
        markerfacecolor="white" if hollow else color,
    )  # fmt: skip
    if found["lower_bound"]:
        axes.plot(log2("value") + 0.14, y, ">", color=color, markersize=3, zorder=4)
