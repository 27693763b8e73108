"""The tables of a report as texts, header and rows: for consoles, Markdown and the page."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from velodrome.results.analyses.headline import FASTER_THAN, ratio_text, share_text
from velodrome.results.analyses.tuning import rate_text
from velodrome.results.report.data import ReportData
from velodrome.results.speedup.speedup import format_ratio
from velodrome.results.speedup.stats import Aggregate


def task_table(
    summary: pd.DataFrame, *, baseline: str, full: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Header and rows as text, one row per task and optimizer.

    Args:
      summary: see ``velodrome.results.analyses.summary.COLUMNS``.
      baseline: its label.
      full: with held-out losses and all definitions; too wide for many consoles.
    """
    many = len(set(summary["label"])) > 1
    header = ["task", "family", *(["optimizer"] if many else []), "best rate", "start"]
    header += [f"{baseline} loss", "loss"]
    losses = ["initial_train", "baseline_train", "candidate_train"]
    speedups = [("steps", "default"), ("seconds", "default")]
    names = ["steps", "seconds"]
    if full:
        header += [f"{baseline} held-out", "held-out"]
        losses += ["baseline_heldout", "candidate_heldout"]
        names += ["steps (paper)", "steps (strict)"]
        speedups += [("steps", "paper"), ("steps", "strict")]
    rows = []
    for row in summary.to_dict("records"):
        rows.append(
            [
                str(row["task"]),
                str(row["family"]),
                *([str(row["label"])] if many else []),
                _rate(row["best_rate"]) + ("*" if row["best_rate_at_edge"] is True else ""),
                *(_loss(row[name]) for name in losses),
                *(_speedup(row, unit, name) for unit, name in speedups),
                str(row["status"]),
            ]
        )
    return [*header, *names, "status"], rows


def headline_table(data: ReportData) -> tuple[list[str], list[list[str]]]:
    """Header and rows; the scope with saturated tasks only where there are any."""
    header = ["optimizer", "speedup in", "tasks", "median [95%]", "IQM [95%]"]
    header += [*(f">{than:g}x" for than in FASTER_THAN), "censored"]
    rows = []
    for found in data.headlines:
        if found.scope == "all" and not found.counts["saturated"]:
            continue
        if found.unit == "cost-seconds" or (found.split == "heldout" and found.unit != "steps"):
            continue
        scope = ", held-out loss" if found.split == "heldout" else ""
        scope += ", all tasks" if found.scope == "all" else ""
        rows.append(
            [
                found.label,
                _UNITS[found.unit] + scope,
                f"{found.tasks} of {found.planned}",
                ratio_text(found.median),
                ratio_text(found.iqm),
                *(share_text(found.faster[than]) for than in FASTER_THAN),
                str(found.counts["censored"]),
            ]
        )
    return header, rows


_UNITS = {
    "steps": "steps",
    "seconds": "seconds",
    "cost": "total tuning cost",
    "cost-seconds": "total tuning cost in seconds",
}


def more_tables(data: ReportData) -> list[tuple[str, list[str], list[list[str]]]]:
    """Heading, header and rows of what a console has no room for: families, pairs, failures, ..."""

    families = [
        [
            row["label"], row["unit"], row["family"], str(row["tasks"]),
            ratio_text(family_median(row)),
            ratio_text(family_median(row), new_tasks=True) if row["tasks"] > 1 else "-",
            f"{row['worst_task']} ({format_ratio(row['worst'])})",
        ]
        for row in data.families.to_dict("records")
    ]  # fmt: skip
    pairs = [
        [row["label"], row["other"], f"{row['probability']:.2f} [{row['low']:.2f}, "
         f"{row['high']:.2f}]", str(row["tasks"])]
        for row in data.pairs.to_dict("records")
    ]  # fmt: skip
    scores = [
        [row["label"], row["against"], f"{row['score']:.3f} [{row['low']:.3f}, "
         f"{row['high']:.3f}]", str(row["tasks"])]
        for row in data.profile_scores.to_dict("records")
    ]  # fmt: skip
    failures = [
        ["" if value is None or value != value else str(value) for value in row]
        for row in data.failures.itertuples(index=False)
    ]
    provenance = [[str(v) for v in row] for row in data.provenance.itertuples(index=False)]
    counted = ["optimizer", "over", "probability [95%, same tasks]", "tasks"]
    return [
        (
            "Families",
            ["optimizer", "speedup in", "family", "tasks", "median [95%, same tasks]",
             "[95%, new tasks]", "worst task"],
            families,
        ),
        ("Probability of improvement", counted, pairs),
        (
            "Performance profile scores",
            ["optimizer", "among", "score [95%, same tasks]", "tasks"],
            scores,
        ),
        ("Failures", list(data.failures.columns), failures),
        ("Provenance", list(data.provenance.columns), provenance),
    ]  # fmt: skip


def published_comparison(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Header and rows as text, one row per task and number of steps."""
    header = ["task", "our steps", "our loss", "published steps", "ratio"]
    rows = []
    for row in table.to_dict("records"):
        bound = ">=" if row["censored"] == "right" else ""
        rows.append(
            [
                str(row["task"]),
                f"{row['steps']:,}",
                _loss(row["loss"]),
                f"{bound}{row['published_steps']:,.0f}",
                format_ratio(float(row["ratio"]), censored=row["censored"]),
            ]
        )
    return header, rows


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A header and rows of text as Markdown; a line break in a cell is a space."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |"
        for line in lines
    )


def family_median(row: dict[Any, Any]) -> Aggregate:
    """The median of a row of ``velodrome.results.analyses.families.FAMILY_COLUMNS``."""
    return Aggregate.from_row(row, value="median")


def _speedup(row: dict[Any, Any], unit: str, name: str) -> str:
    ratio = row[f"speedup_{unit}_{name}"]
    if ratio is None or np.isnan(ratio):
        return "-"
    diverged = row[f"diverged_{name}"] is True
    return format_ratio(float(ratio), censored=row[f"censored_{name}"], diverged=diverged)


def _loss(value: object) -> str:
    if not isinstance(value, float) or np.isnan(value):
        return "-"
    return f"{value:.3g}" if np.isfinite(value) else "inf"


def _rate(value: object) -> str:
    return rate_text(value) if isinstance(value, float) and value > 0 else "-"
