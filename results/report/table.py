"""The report in words and numbers: a headline and a table of tasks, for consoles and Markdown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from results.definitions import DEFINITIONS, caveat
from results.headline import (
    FASTER_THAN,
    definition_median,
    ratio_text,
    share_text,
)
from results.reference import WORDS
from results.report.context import times
from results.report.data import ReportData
from results.speedup import format_ratio
from results.stats import Aggregate

_STYLES = {
    "ok": "green", "censored": "green", "saturated": "yellow", "diverged": "red",
    "incomplete": "red", "failed": "red", "missing": "red",
}  # fmt: skip


def print_report(data: ReportData, *, console: Console | None = None) -> None:
    """Prints the table of tasks, the headline, the definitions, and everything that went wrong."""
    (console or Console()).print(render(data))


def render(data: ReportData) -> RenderableType:
    """The same as a rich renderable."""
    parts: list[RenderableType] = [Text(data.context.line, style="dim")]
    header, rows = task_table(data.summary, baseline=data.context.baseline)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for name in header:
        left = name in ("task", "family", "optimizer", "status")
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for row in rows:
        table.add_row(*row[:-1], Text(row[-1], style=_STYLES.get(row[-1], "")))
    parts += [table, Text()]
    header, rows = headline_table(data)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for position, name in enumerate(header):
        table.add_column(name, justify="left" if position < 2 else "right")
    for row in rows:
        table.add_row(*row)
    parts += [table, Text()]
    parts += [Text(line) for line in (*definition_lines(data), *count_lines(data))]
    if len(data.published):
        parts += [Text(), Text(published_line(data))]
        header, rows = published_comparison(data.published)
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
        for position, name in enumerate(header):
            table.add_column(name, justify="left" if position < 1 else "right", overflow="fold")
        for row in rows:
            table.add_row(*row)
        parts += [table]
    wrong = problem_lines(data)
    if wrong:
        parts += [Text(), Text("Notes", style="bold")]
        parts += [Text(f"- {line}") for line in wrong]
    return Group(*parts)


def markdown(data: ReportData, *, title: str = "Speedup report") -> str:
    """The same as Markdown, with the held-out losses."""
    parts = [f"# {title}", data.context.line]
    tasks = task_table(data.summary, baseline=data.context.baseline, full=True)
    parts += ["## Headline", _markdown_table(*headline_table(data))]
    parts += ["\n".join(f"- {line}" for line in (*definition_lines(data), *count_lines(data)))]
    parts += ["## Tasks", _markdown_table(*tasks)]
    parts += [_LEGEND.replace("\n", " ")]
    if len(data.published):
        parts += ["## Beside the published baseline", published_line(data)]
        parts += [_markdown_table(*published_comparison(data.published))]
    for heading, header, rows in more_tables(data):
        parts += [f"## {heading}", _markdown_table(header, rows)] if rows else []
    wrong = problem_lines(data)
    if wrong:
        parts += ["## Notes", "\n".join(f"- {line}" for line in wrong)]
    return "\n\n".join(parts) + "\n"


_LEGEND = """\
`best rate`: lowest loss at the end of the baseline's budget; * marks the edge of the grid.
Losses are of the train split unless named otherwise: at the start, of the baseline's best rate
after as many steps as the candidate, and of the candidate."""


def task_table(
    summary: pd.DataFrame, *, baseline: str, full: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Header and rows as text, one row per task and optimizer.

    Args:
      summary: see ``results.summary.COLUMNS``.
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
    # Nothing can be seen to be faster than the ceiling.
    shown = [than for than in FASTER_THAN if than < data.context.multiple]
    header = ["optimizer", "speedup in", "tasks", "median [95%]", "IQM [95%]"]
    header += [*(f">{than:g}x" for than in shown), "censored"]
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
                *(share_text(found.faster[than]) for than in shown),
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

    def ratio(row: dict[Any, Any], name: str, low: str = "low", high: str = "high") -> str:
        found = Aggregate(row[name], row[low], row[high], bool(row["lower_bound"]))
        return ratio_text(found)

    families = [
        [
            row["label"], row["unit"], row["family"], str(row["tasks"]), ratio(row, "median"),
            ratio(row, "median", "low_new_tasks", "high_new_tasks"),
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
    counted = ["optimizer", "over", "probability [95%]", "tasks"]
    return [
        (
            "Families",
            ["optimizer", "speedup in", "family", "tasks", "median [95%, same tasks]",
             "[95%, new tasks]", "worst task"],
            families,
        ),
        ("Probability of improvement", counted, pairs),
        ("Performance profile scores", ["optimizer", "among", "score [95%]", "tasks"], scores),
        ("Failures", list(data.failures.columns), failures),
        ("Provenance", list(data.provenance.columns), provenance),
    ]  # fmt: skip


def definition_lines(data: ReportData) -> list[str]:
    """The definitions used, with what each gives and what to know before believing it."""
    lines = []
    for name, definition in DEFINITIONS.items():
        medians = "; ".join(
            f"{label} {ratio_text(definition_median(data.summary, label, name=name))}"
            + _over_default(data, label, name)
            for label in data.context.labels
        )
        warning = caveat(name, steps=data.context.steps, eval_every=data.context.eval_every)
        lines.append(
            f"{name}: median in steps {medians}. {definition.summary[0].upper()}"
            f"{definition.summary[1:]}.{f' Beware: {warning}.' if warning else ''}"
        )
    return lines


def _over_default(data: ReportData, label: str, name: str) -> str:
    """How the median by a definition differs from that by ``default``."""
    table = data.definitions
    found = table.loc[(table["label"] == label) & (table["definition"] == name), "over_default"]
    if name == "default" or found.empty or np.isnan(found.iloc[0]):
        return ""
    return f" ({found.iloc[0]:.2f} times that by default)"


def published_line(data: ReportData) -> str:
    """What the table of the published baseline says, and of which file."""
    assert data.reference is not None  # there are rows of it
    return (
        f"{data.context.baseline} of this store ({data.context.data}) beside the published "
        f"envelope of {WORDS[data.reference.kind]} ({data.reference.origin}): steps that the "
        "published one needs to the loss that ours has reached, over our steps. Above 1x ours is "
        "faster. They compare only on the real data, under the published protocol."
    )


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


def count_lines(data: ReportData) -> list[str]:
    """What the intervals are, and how many tasks are censored, saturated, incomplete, ..."""
    context = data.context
    if not context.baseline_ran:
        return [f"There are no speedups: {context.baseline}, the baseline, has not been run."]
    lines = [
        "Intervals: same tasks, seeds drawn anew (stratified bootstrap, 2,000 draws, the rate "
        f"chosen again in each); with {context.seeds} seeds they are "
        + ("too narrow." if context.seeds < 5 else "indicative."),
        f"A speedup in steps cannot exceed {times(context.multiple)}: {context.baseline} was run "
        f"{times(context.multiple)[:-1]} times as long. >= marks values (and aggregates) that "
        "are at least this much.",
    ]
    lines += _new_task_lines(data)
    lines.append(
        f"Total tuning cost: all {context.rates} rates of {context.baseline} against the "
        "candidate's own trials. What meta-training a learned optimizer cost is paid once and is "
        "not in it."
    )
    lines += [data.counts_of(label) for label in context.labels]
    return lines


def _new_task_lines(data: ReportData) -> list[str]:
    """The wider intervals, of each optimizer in steps: for a claim beyond these tasks."""
    return [
        f"{found.label}, tasks drawn anew too (two-level bootstrap): median in steps "
        f"{ratio_text(found.median, new_tasks=True)}, IQM {ratio_text(found.iqm, new_tasks=True)}."
        for found in data.headlines
        if (found.unit, found.split, found.scope) == ("steps", "train", "headline") and found.tasks
    ]


def problem_lines(data: ReportData) -> list[str]:
    """Every note on a task, every task that is not ok, every file that was skipped."""
    lines = []
    for row in data.summary.to_dict("records"):
        if row["notes"] or row["status"] not in ("ok", "censored"):
            notes = f": {row['notes']}" if row["notes"] else ""
            lines.append(f"{row['task']}, {row['label']}: {row['status']}{notes}")
    edges = data.summary.loc[data.summary["best_rate_at_edge"].eq(True)]
    for task in dict.fromkeys(edges["task"]):
        lines.append(
            f"{task}: the best rate is at the edge of the grid; a better one may lie beyond"
        )
    lines += [f"skipped {problem.path}: {problem.reason}" for problem in data.problems]
    return lines


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
    return f"{value:.0e}".replace("e-0", "e-") if isinstance(value, float) and value > 0 else "-"


def _markdown_table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in x) + " |" for x in lines
    )
