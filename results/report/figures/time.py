"""Time to fixed fractions of the way to the best loss, and the speedup all along the run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from velodrome.results.analyses.time_to_loss import FRACTIONS
from velodrome.results.report.context import Context
from velodrome.results.report.data import ReportData
from velodrome.results.report.figures.figure import SATURATED_OUT, Plot
from velodrome.results.report.figures.log2axis import MARGIN, limits, log2, set_log2
from velodrome.results.report.figures.style import (
    axis_label,
    handles,
    legend_above,
    new_figure,
    series_styles,
    slots,
)
from velodrome.results.speedup.speedup import format_ratio

RATIO_COLUMNS = ("label", "unit", "fraction", "median", "quarter", "three_quarters", "reached",
                 "tasks")  # fmt: skip
_QUARTILES = ["median", "quarter", "three_quarters"]
_FRACTIONS = (
    "Time of {baseline}, at its best rate for each loss, over the time of the optimizer, to "
    "fractions of the way from the initial loss to the lowest loss that any optimizer reaches on "
    'the task within {steps:,} steps. Marks: median over tasks; bars: quartiles. Marks at "not '
    'reached": the optimizer does not get there within its {steps:,} steps; at the upper edge: '
    "{baseline} does not get there. time_to_loss.csv has every task. " + SATURATED_OUT
)
_ANYTIME = (
    "At each share of the run: the step at which the envelope of {baseline} reaches the "
    "optimizer's loss there, over the optimizer's step. Line: median over tasks; band: quartiles "
    "over tasks. Only the right end is fair to optimizers that know the number of steps in "
    "advance. Dotted: more than a quarter of the tasks are right-censored. " + SATURATED_OUT
)


def plots(data: ReportData) -> Iterator[Plot]:
    """Yield the time to loss, then the anytime speedup."""
    context = data.context
    ratios = time_ratios(data.time_to_loss, context)
    if len(ratios):
        words = "; ".join(
            f"{row['label']}, {row['unit']} to {row['fraction']:.0%}: "
            + (format_ratio(row["median"]) if row["median"] > 0 else "not reached")
            for row in ratios.to_dict("records")
        )
        yield Plot(
            name="time_to_loss",
            section="time",
            title="Time to fractions of the way to the best loss",
            caption=context.caption(_FRACTIONS),
            alt=f"Median speedup to fractions of the way: {words}.",
            table=with_quartiles(data.time_to_loss, ratios),
            draw=partial(draw, ratios, context),
        )
    if len(data.anytime):
        last = data.anytime.loc[data.anytime["share"] == data.anytime["share"].max()]
        words = "; ".join(
            f"{row['label']}: {format_ratio(row['median'])}" for row in last.to_dict("records")
        )
        yield Plot(
            name="anytime",
            section="time",
            title="Speedup in steps along the run",
            caption=context.caption(_ANYTIME),
            alt=f"Median speedup over tasks along the run; at its end: {words}.",
            table=data.anytime,
            draw=partial(draw_anytime, data.anytime, context),
        )


def time_ratios(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Return quartiles over tasks of the baseline's time over a candidate's, by fraction.

    Args:
      table: See ``velodrome.results.analyses.time_to_loss.TIME_COLUMNS``.
      context: Names the baseline and the optimizers.

    Returns:
      Rows of :data:`RATIO_COLUMNS`; 0 where the candidate does not get there. Losses that the
      baseline never reaches count as unbounded and are drawn at the top.
    """
    used = table.loc[~table["saturated"].astype(bool)]
    rows = []
    base = used.loc[used["label"] == context.baseline].set_index(["index", "fraction"])
    for label in context.labels:
        mine = used.loc[used["label"] == label].set_index(["index", "fraction"])
        times = base[["steps", "seconds"]].rename(columns="{}_base".format)
        both = mine.join(times, how="inner")
        for unit in ("steps", "seconds"):
            known = both if unit == "steps" else both.dropna(subset=["seconds", "seconds_base"])
            for fraction in FRACTIONS:
                part = known.loc[known.index.get_level_values("fraction") == fraction]
                if part.empty:
                    continue
                ours, theirs = part[unit].to_numpy(float), part[f"{unit}_base"].to_numpy(float)
                with np.errstate(divide="ignore", invalid="ignore"):
                    ratio = np.where(np.isfinite(ours), theirs / ours, 0.0)
                low, middle, high = np.quantile(ratio, [0.25, 0.5, 0.75], method="inverted_cdf")
                rows.append(
                    {
                        "label": label, "unit": unit, "fraction": fraction,
                        "median": float(middle), "quarter": float(low),
                        "three_quarters": float(high),
                        "reached": float(np.isfinite(ours).mean()), "tasks": len(part),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows, columns=list(RATIO_COLUMNS))


def with_quartiles(table: pd.DataFrame, ratios: pd.DataFrame) -> pd.DataFrame:
    """Return the times of every task, and beside them what is drawn: ``steps_median``, ..."""
    for unit, mine in ratios.groupby("unit", sort=False):
        shown = mine[["label", "fraction"]].assign(**{f"{unit}_{x}": mine[x] for x in _QUARTILES})
        table = table.merge(shown, on=["label", "fraction"], how="left")
    return table


def draw(table: pd.DataFrame, context: Context) -> Figure:
    """Draw the ratios of :func:`time_ratios`, in steps and in seconds, by fraction."""
    styles = series_styles(context.labels, table["label"])
    units = list(dict.fromkeys(table["unit"]))
    figure = new_figure(1.2 + 2.6 * len(units), 2.4)
    grid = np.atleast_1d(figure.subplots(1, len(units), sharey=True))
    low, high = limits(log2(table[["quarter", "median"]]).ravel())
    for axes, unit in zip(grid, units, strict=True):
        for (label, (color, marker)), beside in zip(
            styles.items(), slots(len(styles), 0.7), strict=True
        ):
            mine = table.loc[(table["unit"] == unit) & (table["label"] == label)]
            if mine.empty:
                continue  # untimed; unclipped marks that are nowhere would collapse the layout
            x = beside + np.array([FRACTIONS.index(f) for f in mine["fraction"]], dtype=float)
            middle, bottom, top = np.clip(log2(mine[_QUARTILES]).T, low - MARGIN, high + 0.15)
            axes.vlines(x, bottom, top, color=color, linewidth=1.2, alpha=0.6)
            # Unclipped: what the baseline never reaches lies on the frame.
            axes.plot(
                x, middle, marker, color=color, markersize=3.8, markeredgewidth=0, clip_on=False
            )
        set_log2(axes, low, high, floor=True, zero="not reached")
        axes.set_xticks(range(len(FRACTIONS)), [f"{f:.0%}" for f in FRACTIONS])
        axes.set_xlabel(f"way to the best loss, in {unit}")
        axes.grid(axis="x", visible=False)
    grid[0].set_ylabel(axis_label(f"{context.baseline}'s time over\nthe optimizer's", 1.8))
    legend_above(figure, handles(styles, markersize=3.5))
    return figure


def draw_anytime(table: pd.DataFrame, context: Context) -> Figure:
    """Draw medians over tasks against the share of the run.

    Args:
      table: See ``velodrome.results.analyses.anytime.ANYTIME_COLUMNS``.
      context: Names the baseline and the optimizers.
    """
    styles = series_styles(context.labels, table["label"])
    figure = new_figure(4.6, 2.5)
    axes = figure.add_subplot()
    values = log2(table[_QUARTILES])
    low, high = limits(values.ravel(), high=2)
    alpha = 0.16 if len(styles) <= 3 else 0.06
    for label, (color, _) in styles.items():
        mine = table.loc[table["label"] == label].sort_values("share")
        x = mine["share"].to_numpy(float)
        middle, bottom, top = np.maximum(log2(mine[_QUARTILES]).T, low - MARGIN)
        axes.fill_between(x, bottom, top, color=color, alpha=alpha, linewidth=0)
        bound = mine["lower_bound"].to_numpy(bool)
        axes.plot(x, middle, color=color, linewidth=1.0, linestyle=":" if bound.any() else "-")
        axes.plot(x, np.where(bound, np.nan, middle), color=color)
    set_log2(axes, low, high, floor=bool((values < low).any()))
    axes.set_xscale("log")
    first = min(float(np.min(table["share"])), 0.5)  # a very short run has one evaluation only
    axes.set_xlim(first, 1)
    shares = [share for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if share >= first]
    axes.set_xticks(shares, [f"{s:.0%}" for s in shares])
    axes.minorticks_off()
    axes.set_xlabel("share of the optimizer's steps")
    axes.set_ylabel(axis_label(f"speedup over {context.tuned},\nin steps", 1.8))
    legend_above(figure, handles(styles, markersize=3.5))
    return figure
