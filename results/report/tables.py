"""The tables of a report as texts, header and rows: for consoles, Markdown and the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from velodrome.foundation.text import duration
from velodrome.results.analyses.headline import FASTER_THAN, ratio_text, share_text
from velodrome.results.analyses.summary import stopped_early
from velodrome.results.analyses.tuning import rate_text
from velodrome.results.report.data import ReportData, Row
from velodrome.results.speedup.speedup import format_ratio
from velodrome.results.speedup.stats import Aggregate, Interval
from velodrome.results.store.target import Target

NOTHING = "-"
"""Stands in cells without a value."""


class TextTable(NamedTuple):
    header: list[str]
    rows: list[list[str]]


def task_table(summary: pd.DataFrame, *, baseline: str, full: bool = False) -> TextTable:
    """Return a table with one row per task and optimizer.

    Args:
      summary: See ``velodrome.results.analyses.summary.COLUMNS``.
      baseline: Its label.
      full: With held-out losses and all definitions; too wide for many consoles.
    """
    many = len(set(summary["label"])) > 1
    swept = any_sweep(summary)
    header = ["task", "family", *(["optimizer"] if many else [])]
    header += [f"{baseline}'s best rate", *(["own best point"] if swept else []), "start"]
    header += [f"{baseline} loss", "loss"]
    stopped = bool(stopped_early(summary).any())
    losses = ["initial_train", "baseline_train", "candidate_train"]
    speedups = {"steps": ("steps", "default"), "seconds": ("seconds", "default")}
    if full:
        header += [f"{baseline} held-out", "held-out"]
        losses += ["baseline_heldout", "candidate_heldout"]
        speedups |= {"steps (paper)": ("steps", "paper"), "steps (strict)": ("steps", "strict")}
    rows = [
        [
            str(row["task"]),
            str(row["family"]),
            *([str(row["label"])] if many else []),
            best_text(row, "best_rate"),
            *([best_text(row, "candidate_point")] if swept else []),
            *(loss_text(row[name]) for name in losses),
            *(speedup_text(row, unit, name) for unit, name in speedups.values()),
            *([sweep_text(row)] if stopped else []),
            str(row["status"]),
        ]
        for row in summary.to_dict("records")
    ]
    sweep = [f"{baseline}'s sweep"] if stopped else []
    return TextTable([*header, *speedups, *sweep, "status"], rows)


def headline_table(data: ReportData) -> TextTable:
    """Return one row per optimizer and unit; all tasks only where some are saturated."""
    shown = [
        found
        for found in data.headlines
        if (found.scope == "headline" or found.counts["saturated"])
        and (found.split == "train" or found.unit == "steps")
    ]
    # What no task could exceed is no question.
    than = [x for x in FASTER_THAN if any(x in found.faster for found in shown)]
    header = ["optimizer", "speedup in", "tasks", "median [95%]", "IQM [95%]"]
    header += [*(f">{x:g}x" for x in than), "censored"]
    rows = []
    for found in shown:
        scope = ", held-out loss" if found.split == "heldout" else ""
        scope += ", all tasks" if found.scope == "all" else ""
        rows.append(
            [
                found.label,
                found.unit + scope,
                f"{found.tasks} of {found.planned}",
                found.median_text(),
                found.iqm_text(),
                *(share_text(found.faster[x]) if x in found.faster else NOTHING for x in than),
                str(found.counts["censored"]),
            ]
        )
    return TextTable(header, rows)


def cost_table(data: ReportData) -> TextTable:
    """Return one row per optimizer and kind of sweep; see :mod:`...analyses.tuning_cost`."""
    rows = []
    for row in data.tuning_cost.to_dict("records"):
        random = row["against"] == "random rates"
        trials = (
            f"more than {data.context.rates}" if np.isnan(row["trials"]) else f"{row['trials']:.3g}"
        )
        ratio = row["each"] or (NOTHING if random else ratio_text(family_median(row)))
        rows.append([row["label"], row["against"], trials, row["unit"], ratio, str(row["tasks"])])
    header = ["optimizer", "against", "trials for one of its own", "speedup in"]
    return TextTable([*header, "at equal total cost, median [95%]", "tasks"], rows)


def horizon_table(table: pd.DataFrame) -> TextTable:
    """Return one row per optimizer and declared number of steps."""
    header = ["optimizer", "steps declared", "median speedup [95%]", "over the true number's [95%]"]
    rows = [
        [
            str(row["label"]),
            f"{row['declared']:g}x",
            ratio_text(family_median(row)),
            NOTHING if row["declared"] == 1 else change_text(row),
            str(row["tasks"]),
        ]
        for row in table.to_dict("records")
    ]
    return TextTable([*header, "tasks"], rows)


def target_table(table: pd.DataFrame) -> TextTable:
    """Return one row per task and optimizer; see ``velodrome.results.analyses.targets``."""
    swept = any(isinstance(point, str) and point for point in table["point"])
    header = ["task", "optimizer", "target", *(["at"] if swept else []), "steps (each seed)"]
    rows = []
    for row in table.to_dict("records"):
        target = Target(row["target"], row["metric"], row["better"], row["split"])
        point = row["point"] if isinstance(row["point"], str) and row["point"] else NOTHING
        rows.append(
            [
                str(row["task"]),
                str(row["label"]),
                str(target),
                *([point] if swept else []),
                _arrival_text(row),
                duration(row["seconds"]) if np.isfinite(row["seconds"]) else NOTHING,
                NOTHING if np.isnan(row["best"]) else f"{row['best']:.4g}",
                *(
                    NOTHING if np.isnan(row[name]) else f"{row['bound']}{format_ratio(row[name])}"
                    for name in ("ratio_steps", "ratio_seconds")
                ),
            ]
        )
    return TextTable([*header, "time", "best value", "speedup in steps", "in seconds"], rows)


def _arrival_text(row: Row) -> str:
    if row["status"] == "no runs":
        return row["status"]
    if row["status"] == "not measured":
        return "not measured in runs"
    if row["status"] == "not reached":
        return f"not reached in {row['horizon']:,.0f}"
    if row["seeds"] == 1:
        return f"{row['steps']:,.0f}"
    middle = f"{row['steps']:,.0f}" if np.isfinite(row["steps"]) else "not reached"
    return f"{middle} ({row['steps_by_seed']})"


def change_text(row: Row) -> str:
    """Return a change in a row of ``velodrome.results.analyses.horizon.HORIZON_COLUMNS``."""
    ends = Interval(row["change_low"], row["change_high"])
    text = ratio_text(Aggregate(row["change"], new_tasks=ends))
    sign = {"~": "about "}.get(row["bound"], row["bound"])
    return f"{sign}{text}"


def more_tables(data: ReportData) -> Iterator[tuple[str, TextTable]]:
    """Yield headings and tables for which a console has no room: families, pairs, failures, ..."""
    families = [
        [
            row["label"], row["unit"], row["family"], str(row["tasks"]),
            row["each"] or ratio_text(family_median(row), same_tasks=True),
            NOTHING if row["each"] else ratio_text(family_median(row)),
            f"{row['worst_task']} ({format_ratio(row['worst'])})",
        ]
        for row in data.families.to_dict("records")
    ]  # fmt: skip
    header = ["optimizer", "speedup in", "family", "tasks", "median [95%, same tasks]"]
    yield "Families", TextTable([*header, "[95%, new tasks]", "worst task"], families)
    header = ["optimizer", "over", "probability [95%, same tasks]", "tasks"]
    pairs = [
        [row["label"], row["other"], _interval(row, "probability", 2), str(row["tasks"])]
        for row in data.pairs.to_dict("records")
    ]
    yield "Probability of improvement", TextTable(header, pairs)
    header = ["optimizer", "among", "score [95%, same tasks]", "tasks"]
    scores = [
        [row["label"], row["against"], _interval(row, "score", 3), str(row["tasks"])]
        for row in data.profile_scores.to_dict("records")
    ]
    yield "Performance profile scores", TextTable(header, scores)
    for heading, table in (("Failures", data.failures), ("Provenance", data.provenance)):
        cells = [
            ["" if value is None or value != value else str(value) for value in row]
            for row in table.itertuples(index=False)
        ]
        yield heading, TextTable(list(table.columns), cells)


def _interval(row: Row, name: str, digits: int) -> str:
    value, low, high = (f"{row[key]:.{digits}f}" for key in (name, "low", "high"))
    return f"{value} [{low}, {high}]"


def published_comparison(table: pd.DataFrame) -> TextTable:
    """Put our baseline beside the published one: one row per task and number of steps."""
    rows = [
        [
            str(row["task"]),
            f"{row['steps']:,}",
            loss_text(row["loss"]),
            f"{'>=' if row['censored'] == 'right' else ''}{row['published_steps']:,.0f}",
            format_ratio(float(row["ratio"]), censored=row["censored"]),
        ]
        for row in table.to_dict("records")
    ]
    return TextTable(["task", "our steps", "our loss", "published steps", "ratio"], rows)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown; a line break in a cell becomes a space."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |"
        for line in lines
    )


def family_median(row: Row) -> Aggregate:
    """Return the median in a row of ``velodrome.results.analyses.families.FAMILY_COLUMNS``."""
    return Aggregate.from_row(row, value="median")


def speedup_text(row: Row, unit: str, definition: str) -> str:
    """Return a speedup in a row of the summary: ``>=5x``, ``diverged``."""
    ratio = row[f"speedup_{unit}_{definition}"]
    if ratio is None or np.isnan(ratio):
        return NOTHING
    diverged = row[f"diverged_{definition}"] is True
    return format_ratio(float(ratio), censored=row[f"censored_{definition}"], diverged=diverged)


def sweep_text(row: Row) -> str:
    """Return how far the baseline's sweep went in a row of the summary: ``3N``, ``1.25N``."""
    return NOTHING if np.isnan(row["sweep_end"]) else f"{row['sweep_end'] / row['steps']:.4g}N"


def sweep_stopped(row: Row) -> bool:
    """Return whether the baseline's sweep stopped before its budget in a row of the summary.

    Without any baseline there is no budget: then the column has ``None``.
    """
    return row["budget"] is not None and row["sweep_end"] < row["budget"]


def loss_text(value: object) -> str:
    """Return a loss in three digits."""
    if not isinstance(value, float) or np.isnan(value):
        return NOTHING
    return f"{value:.3g}" if np.isfinite(value) else "inf"


def any_sweep(summary: pd.DataFrame) -> bool:
    """Return whether some candidate has a best point, because it has a sweep."""
    return any(isinstance(point, str) and point != "" for point in summary["candidate_point"])


def best_text(row: Row, name: str, *, edge: str = "*") -> str:
    """Return the best point of either side in a row of the summary, marked at an edge of the grid.

    ``name`` is "best_rate" or "candidate_point".
    """
    text = row["best_point"] if name == "best_rate" else row[name]
    if not isinstance(text, str) or not text:
        rate = row["best_rate"] if name == "best_rate" else None
        text = rate_text(rate) if isinstance(rate, float) and rate > 0 else NOTHING
    return text + (edge if row[f"{name}_at_edge"] is True else "")
