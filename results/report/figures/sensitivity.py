"""How sensitive tasks are to the learning rate, and what k trials of the sweep are worth."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from velodrome.results.report.context import Context
from velodrome.results.report.data import ReportData
from velodrome.results.report.figures.figure import Plot, pages
from velodrome.results.report.figures.style import (
    BASELINE_STYLE,
    handles,
    inches_of,
    legend_above,
    new_figure,
    series_styles,
)

PANELS = 45
"""Most rows of one figure."""
COLUMNS = 30
"""With more rates than this, only those that half of the tasks have get a column."""
_MEANING = (
    "Colour: how far the seed-mean loss has come after {after:,} steps, from the initial loss (0) "
    "to that of the best point (1); white where a seed diverged{lacking}. Circle: the best point, "
    "unless it makes no progress; underlined: points within 10% of its way. A triangle at the "
    "right: the best point is at an edge of the grid, a better one may lie beyond."
)
_TUNING = (
    "Expected best of k trials drawn from the sweep without replacement (the best of all at the "
    "right end), all after {steps:,} steps: way from the initial loss (0) to the lowest loss of "
    "any optimizer (1), mean over {tasks} tasks. Optimizers without a sweep have one trial, which "
    "a dashed line extends. Bands: 95%, for the same tasks and new seeds."
)


def plots(data: ReportData) -> Iterator[Plot]:
    """Yield heat maps of every sweep after as many steps, then the value of tuning."""
    context = data.context
    for label in (context.baseline, *context.labels):
        yield from _heat_maps(data, label)
    if max(data.tuning["trials"], default=0) > 1:
        yield Plot(
            name="tuning",
            section="tuning",
            title="Expected best of k trials",
            caption=context.caption(_TUNING, tasks=max(data.tuning["tasks"]))
            + _in_order(data)
            + _left_out(data),
            alt=_words(data.tuning),
            table=data.tuning,
            draw=partial(draw_tuning, data.tuning, context),
        )


def _heat_maps(data: ReportData, label: str) -> Iterator[Plot]:
    mine = data.sensitivity.loc[data.sensitivity["label"] == label]
    if label in data.in_order and mine["point"].nunique() > COLUMNS:
        return  # the curve over the number of trials shows what a long list is worth
    after = data.context.steps if data.context.steps in set(mine["steps"]) else mine["steps"].max()
    mine = mine.loc[mine["steps"] == after]
    name = "sensitivity"
    if label != data.context.baseline:
        name += "_" + re.sub("[^a-z0-9]+", "-", label.lower()).strip("-")
    for number, which, indices in pages(list(dict.fromkeys(mine["index"])), PANELS):
        chosen = mine.loc[mine["index"].isin(indices)]
        edges = ", ".join(map(str, chosen.loc[chosen["best"] & chosen["edge"], "task"]))
        widths = chosen.groupby("task", sort=False)["near_best"].sum()
        yield Plot(
            name=f"{name}{number}",
            section="tuning",
            title=f"Sensitivity of {label} to its sweep{which}",
            caption=data.context.caption(
                _MEANING,
                after=int(after),
                lacking=" or a task lacks the point" if data.context.refined else "",
            ),
            alt=f"Sensitivity of {label} on {len(widths)} tasks: the median task has "
            f"{widths.median():g} points within 10% of the best. Best point at the edge of the "
            f"grid: {edges or 'on no task'}.",
            table=chosen,
            draw=partial(draw, chosen),
        )


def _in_order(data: ReportData) -> str:
    known = [label for label in data.in_order if label in set(data.tuning["label"])]
    listed = "The best of its first k trials, in their published order, is drawn of"
    return f" {listed} {', '.join(known)}." if known else ""


def _left_out(data: ReportData) -> str:
    swept = dict.fromkeys(data.sensitivity["label"])
    out = [str(label) for label in swept if label not in set(data.tuning["label"])]
    why = "not all tasks have as many points of its sweep"
    return f" Left out: {', '.join(out)} ({why})." if out else ""


def _words(tuning: pd.DataFrame) -> str:
    parts = []
    for label, rows in tuning.groupby("label", sort=False):
        first, last = rows["progress"].iloc[0], rows["progress"].iloc[-1]
        text = f"{label}: {first:.2f} after one trial"
        parts.append(text + (f", {last:.2f} after {len(rows)}" if len(rows) > 1 else ""))
    return "Expected share of the way to the best loss. " + "; ".join(parts) + "."


def draw(table: pd.DataFrame) -> Figure:
    """Draw a row for each task, a column for each point of the grid.

    Args:
      table: See ``velodrome.results.analyses.tuning.SENSITIVITY_COLUMNS``, for one optimizer and
        number of steps.
    """
    ordered = table.drop_duplicates("point").sort_values("rate", kind="stable")
    rates_alone = not ordered["point"].str.contains("=").any()
    tasks = list(dict.fromkeys(zip(table["index"], table["task"], strict=True)))
    if rates_alone and len(ordered) > COLUMNS:
        counts = Counter(table["point"])
        common = np.array([2 * counts[point] >= len(tasks) for point in ordered["point"]])
        ordered = ordered.loc[common] if common.any() else ordered
    points, columns = list(ordered["point"]), np.log(ordered["rate"].to_numpy(float).clip(1e-30))
    names = 0.87 * inches_of(max(4, *map(len, points)), 8.0)  # they stand at 60 degrees
    figure = new_figure(4.6, 0.55 + names + max(1.0, 0.155 * len(tasks)))
    axes = figure.add_subplot()
    grid = np.full((len(tasks), len(points)), np.nan)
    for y, (index, _) in enumerate(tasks):
        rows = table.loc[table["index"] == index]
        best = rows.loc[rows["best"]].iloc[0]
        way = best["initial"] - best["loss"]
        for row in rows.to_dict("records"):
            done = (row["initial"] - row["loss"]) / way if row["progress"] else 0.0
            done = np.clip(done, 0.0, 1.0)
            if row["point"] in points:
                x = points.index(row["point"])
                grid[y, x] = done if np.isfinite(row["loss"]) else np.nan
            elif row["best"] and row["rate"] > 0:  # a rate of this task, between two columns
                x = float(np.interp(np.log(row["rate"]), columns, range(len(points))))
            else:
                continue
            if row["near_best"]:
                axes.plot([x - 0.42, x + 0.42], [y + 0.36] * 2, color="#111111", linewidth=0.9)
            if row["best"] and row["progress"]:
                dark = done < 0.6
                axes.plot(x, y, "o", color="white" if dark else "#111111", markersize=3)
        if bool(best["edge"]):
            axes.annotate(
                "◀" if best["rate"] <= ordered["rate"].min() else "▶", (1.0, y),
                xycoords=("axes fraction", "data"), xytext=(2, 0), textcoords="offset points",
                fontsize=6, color="#b00020", va="center", annotation_clip=False,
            )  # fmt: skip
    shown = axes.imshow(grid, aspect="auto", cmap="cividis", vmin=0, vmax=1, zorder=0)
    axes.set_yticks(range(len(tasks)), [str(name) for _, name in tasks], fontsize=6)
    axes.set_xticks(range(len(points)), points)
    axes.tick_params(axis="x", rotation=60)
    axes.tick_params(axis="both", length=0)
    axes.grid(visible=False)
    axes.set_xlabel("learning rate" if rates_alone else "point of the sweep", labelpad=1)
    bar = figure.colorbar(shown, ax=axes, pad=0.06, aspect=30, shrink=min(1.0, 8 / len(tasks)))
    bar.set_label("way to best loss")
    bar.ax.spines["outline"].set_visible(False)
    return figure


def draw_tuning(table: pd.DataFrame, context: Context) -> Figure:
    """Draw progress against trials; see ``velodrome.results.analyses.tuning.TUNING_COLUMNS``."""
    styles = series_styles(context.labels)
    figure = new_figure(4.0, 2.4)
    axes = figure.add_subplot()
    most = max(table["trials"])
    drawn = {}
    for label, rows in table.groupby("label", sort=False):
        drawn[str(label)] = color, marker = styles.get(str(label), BASELINE_STYLE)
        trials, low, high = (rows[name].to_numpy(float) for name in ("trials", "low", "high"))
        progress = rows["progress"].to_numpy(float)
        if len(rows) > 1:
            axes.fill_between(trials, low, high, color=color, alpha=0.18, linewidth=0)
            axes.plot(trials, progress, color=color, marker=marker, markersize=3)
        else:
            axes.vlines(trials, low, high, color=color, linewidth=1)
            axes.plot(trials, progress, marker, color=color, markersize=4)
            axes.plot([1, most], [progress[0]] * 2, color=color, linewidth=0.9, linestyle="--")
    axes.set_xlim(0.7, most + 0.3)
    axes.set_ylim(min(0.0, float(np.min(table["low"]))) - 0.02, 1.04)
    axes.set_xticks(sorted({1, *range(5, most + 1, 5), most} if most > 5 else range(1, most + 1)))
    axes.set_xlabel("trials k")
    axes.set_ylabel("expected best of k,\nway to best loss")
    legend_above(figure, handles(drawn, markersize=3.5, linewidth=1))
    return figure
