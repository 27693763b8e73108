"""Performance profiles with bands and scores, and probabilities of improvement of all pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from velodrome.results.analyses.equal_steps import TARGETS
from velodrome.results.analyses.profiles import SCORE_LIMIT, SHOWN_LIMIT
from velodrome.results.report.context import Context
from velodrome.results.report.data import ReportData
from velodrome.results.report.figures.figure import Plot
from velodrome.results.report.figures.style import (
    BASELINE_STYLE,
    inches_of,
    legend_above,
    new_figure,
    series_styles,
    short_labels,
)

_PROFILE = (
    "Targets are the losses of {baseline}, at its best rate, after {targets} of its {steps:,} "
    "steps. Share of all targets of all tasks that an optimizer reaches within tau times the steps "
    "of the fastest optimizer, and within {steps:,} steps at all. In brackets: the area under the "
    "profile up to tau = {limit:g}, over its width, with its 95% interval. Who ends lowest is "
    "another question, for the probability of improvement. A profile depends on the optimizers "
    "that are compared. {tasks} tasks; bands: 95%, for the same tasks and new seeds."
)
_PAIRS = (
    "Probability that a run of the optimizer at the left ends with a lower loss after {steps:,} "
    "steps than a run of the one below, ties counting half; mean over {tasks} tasks. {baseline} "
    "at its best rate after as many steps. Bold: the 95% interval (same tasks, new seeds) excludes "
    "one half."
)


def plots(data: ReportData) -> Iterator[Plot]:
    """Yield the profile of all optimizers, then the matrix of pairs."""
    context = data.context
    scores = data.profile_scores
    if len(data.profile):
        among = scores.loc[scores["against"] == "all"].to_dict("records")
        words = "; ".join(f"{row['label']}: {row['score']:.2f}" for row in among)
        tasks = max(scores["tasks"])
        targets = ", ".join(f"{share:.0%}" for share in TARGETS)
        yield Plot(
            name="profile",
            section="profiles",
            title="Performance profile in steps",
            caption=context.caption(_PROFILE, limit=SCORE_LIMIT, tasks=tasks, targets=targets),
            alt=f"Performance profiles; scores up to tau = {SCORE_LIMIT:g}: {words}.",
            table=data.profile,
            draw=partial(draw, data.profile, scores, context),
        )
    if len(data.pairs):
        base = data.pairs.loc[data.pairs["other"] == context.baseline]
        words = "; ".join(
            f"{row['label']}: {row['probability']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
            for row in base.to_dict("records")
        )
        yield Plot(
            name="pairs",
            section="profiles",
            title="Probability of improvement",
            caption=context.caption(_PAIRS, tasks=max(data.pairs["tasks"])),
            alt=f"Probability of a lower final loss than {context.baseline}: {words}.",
            table=data.pairs,
            draw=partial(draw_pairs, data.pairs),
        )


def draw(table: pd.DataFrame, scores: pd.DataFrame, context: Context) -> Figure:
    """Draw the profiles as steps.

    Args:
      table: See ``velodrome.results.analyses.profiles.PROFILE_COLUMNS``.
      scores: See ``velodrome.results.analyses.profiles.SCORE_COLUMNS``.
    """
    styles = series_styles(context.labels)
    figure = new_figure(4.6, 2.6)
    axes = figure.add_subplot()
    among = {row["label"]: row for row in scores.loc[scores["against"] == "all"].to_dict("records")}
    many = len(among) > 4
    names = short_labels(list(among))
    handles = []
    for label, rows in table.groupby("label", sort=False):
        color = styles.get(str(label), BASELINE_STYLE).color
        tau = np.log2(rows["tau"].to_numpy(float))
        low, high = rows["low"].to_numpy(float), rows["high"].to_numpy(float)
        alpha = 0.07 if many else 0.16
        axes.fill_between(tau, low, high, step="post", color=color, alpha=alpha, linewidth=0)
        axes.step(tau, rows["share"].to_numpy(float), where="post", color=color)
        found = among[label]
        score = f"{found['score']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
        handles.append(Line2D([], [], color=color, label=f"{names[str(label)]} ({score})"))
    axes.axvline(math.log2(SCORE_LIMIT), color="#888888", linewidth=0.8, linestyle=(0, (4, 2)))
    powers = range(int(math.log2(SHOWN_LIMIT)) + 1)
    axes.set_xticks(list(powers), [f"{2**p}" for p in powers])
    axes.set_xlim(0, math.log2(SHOWN_LIMIT))
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("tau: steps over those of the fastest")
    axes.set_ylabel("share of targets within tau")
    legend_above(figure, handles, columns=2 if many else 1)
    return figure


def draw_pairs(table: pd.DataFrame) -> Figure:
    """Draw the rows of ``velodrome.results.analyses.improvement.PAIR_COLUMNS`` as a matrix."""
    labels = list(dict.fromkeys(table["label"]))
    grid = np.full((len(labels), len(labels)), np.nan)
    names = list(short_labels(labels).values())
    longest = max(len(line) for name in names for line in name.splitlines())
    text, matrix = inches_of(longest, 7.0), 0.42 * len(labels)
    # Room for the names at the left and, slanted, below; and for the axes' own titles.
    figure = new_figure(0.75 + text + max(matrix, 1.7), 0.5 + 0.77 * text + max(matrix, 1.0))
    axes = figure.add_subplot()
    for row in table.to_dict("records"):
        y, x = labels.index(row["label"]), labels.index(row["other"])
        grid[y, x] = row["probability"]
        sure = row["low"] > 0.5 or row["high"] < 0.5
        strong = abs(row["probability"] - 0.5) > 0.35
        axes.text(
            x, y, f"{row['probability']:.2f}", ha="center", va="center", fontsize=6.5,
            fontweight="bold" if sure else "normal", color="white" if strong else "#111111",
        )  # fmt: skip
    axes.imshow(grid, cmap="PuOr", vmin=0, vmax=1, zorder=0)
    axes.set_yticks(range(len(labels)), names)
    axes.set_xticks(range(len(labels)), names, rotation=50, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="both", length=0)
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_ylabel("a run of ...")
    axes.set_xlabel("... ends lower than a run of")
    return figure
