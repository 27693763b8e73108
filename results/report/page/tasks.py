"""The tasks of the page: a row for each in the table, and the part that opens on a click."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from velodrome.results.report.data import ReportData, Row
from velodrome.results.report.figures.style import series_styles
from velodrome.results.report.page.chart import Chart, chart
from velodrome.results.report.page.tables import (
    DASH,
    Cell,
    Column,
    PageTable,
    loss,
    point,
    ratio,
)
from velodrome.results.report.sentences import edge_text
from velodrome.results.report.tables import any_sweep, sweep_stopped, sweep_text
from velodrome.results.report.task_words import TaskWords, task_words

STATUS_MEANING = {
    "ok": "has a speedup",
    "censored": "faster than can be measured: the speedup is a lower bound",
    "saturated": "the baseline's loss falls to nearly nothing: not in the headline",
    "no progress": "neither side learns anything: nothing to compare, not in the headline",
    "diverged": "the loss became infinite: a speedup of 0",
    "incomplete": "runs of the baseline are missing: no speedup",
    "failed": "could not be run",
    "missing": "has not been run",
}


@dataclass(frozen=True)
class TaskRow:
    """One task and optimizer in the table of tasks.

    ``anchor`` is the id of the task's part of the page, ``label`` the optimizer's. ``sizes`` are
    its parameters and its batch size, ``cells`` are those after "status"; ``search`` is the
    lower-case text that a search looks into.
    """

    anchor: str
    task: str
    family: str
    what: str
    sizes: tuple[Cell, ...]
    label: str
    status: str
    cells: tuple[Cell, ...]
    search: str


@dataclass(frozen=True)
class TaskPart:
    """The part of the page that opens when a task is chosen; ``alt`` is the chart in words."""

    anchor: str
    task: str
    what: str
    data: str
    statuses: str
    chart: Chart | None
    alt: str
    table: PageTable
    notes: tuple[str, ...]


def columns(data: ReportData) -> tuple[Column, ...]:
    """Return columns of the table of tasks; those before "status" are attributes of ``TaskRow``."""
    baseline = data.context.baseline
    return (
        Column("Task"),
        Column("What it is", help="family, depth x width where stored, data"),
        Column("Parameters", True, True),
        Column("Batch", True, True, "examples in a step"),
        *([Column("Optimizer")] if len(data.context.labels) > 1 else []),
        Column("Status"),
        Column("Speedup in steps", True),
        Column("in seconds", True),
        Column(f"Best rate of {baseline}", True, True, "after as many steps"),
        *([Column("Its best point", False, True)] if any_sweep(data.summary) else []),
        Column(f"{baseline}'s loss", True, True, "train split, after as many steps"),
        Column("Loss", True, False, "train split, at the end"),
        Column(f"{baseline}'s held-out loss", True, True, "after as many steps"),
        Column("Held-out loss", True, True, "at the end"),
    )


def task_rows(data: ReportData) -> tuple[TaskRow, ...]:
    """Make one row per task and optimizer, in the order of the suite."""
    swept = any_sweep(data.summary)
    words = task_words(data.specs)
    return tuple(
        _row(row, _words_of(row, words), swept=swept) for row in data.summary.to_dict("records")
    )


def task_parts(data: ReportData) -> Iterator[TaskPart]:
    """Yield one part per task, in the order of the suite."""
    styles = series_styles(data.context.labels)
    curves = {index: part for index, part in data.curves.groupby("index", sort=False)}
    words = task_words(data.specs)
    for index, frame in data.summary.groupby("index", sort=False):
        rows = frame.to_dict("records")
        mine = curves[index] if index in curves else data.curves.iloc[:0]
        yield TaskPart(
            anchor=f"task-{index}",
            task=str(rows[0]["task"]),
            what=_words_of(rows[0], words).what,
            data=_data(rows[0]),
            statuses=", ".join(dict.fromkeys(str(row["status"]) for row in rows)),
            chart=chart(mine, max(int(row["steps"]) for row in rows), styles),
            alt=_words(rows, mine, data.context.baseline),
            table=_details(rows, data.context.baseline),
            notes=tuple(_notes(rows)),
        )


def _words_of(row: Row, words: Mapping[int, TaskWords]) -> TaskWords:
    """Return what a task is; one that has not been run has no row among the specs."""
    unknown = TaskWords(str(row["family"]), math.nan, math.nan)
    return words.get(int(row["index"]), unknown)


def _size(value: float) -> Cell:
    return Cell(DASH, "") if math.isnan(value) else Cell(f"{value:,.0f}", repr(value))


def _row(row: Row, words: TaskWords, *, swept: bool) -> TaskRow:
    task, family, label = str(row["task"]), str(row["family"]), str(row["label"])
    status = str(row["status"])
    own = [point(row, "candidate_point")] if swept else []
    points = (point(row, "best_rate"), *own)
    cells = (*_speedups(row)[:2], *points, *_losses(row))
    search = f"{task} {words.what} {label} {status} {_data(row)}".lower()
    sizes = _size(words.parameters), _size(words.batch_size)
    anchor = f"task-{row['index']}"
    return TaskRow(anchor, task, family, words.what, sizes, label, status, cells, search)


def _speedups(row: Row) -> tuple[Cell, ...]:
    kinds = (("steps", "default"), ("seconds", "default"), ("steps", "paper"), ("steps", "strict"))
    return tuple(ratio(row, unit, definition) for unit, definition in kinds)


def _losses(row: Row) -> tuple[Cell, ...]:
    names = ("baseline_train", "candidate_train", "baseline_heldout", "candidate_heldout")
    return tuple(loss(row[name]) for name in names)


def _details(rows: Sequence[Row], baseline: str) -> PageTable:
    heads = (
        Column("Optimizer"), Column("Speedup in steps", True), Column("in seconds", True),
        Column("paper", True), Column("strict", True), Column(f"{baseline}'s loss", True),
        Column("Loss", True), Column(f"{baseline}'s held-out loss", True),
        Column("Held-out loss", True), Column("Status"),
    )  # fmt: skip
    body = []
    for row in rows:
        steps, *others = _speedups(row)
        status = Cell(str(row["status"]))
        cells = (_with_interval(steps, row), *others, *_losses(row), status)
        body.append((Cell(str(row["label"])), *cells))
    return PageTable("Speedups and losses", heads, tuple(body))


def _with_interval(cell: Cell, row: Row) -> Cell:
    low, high = (row.get(f"speedup_{end}", math.nan) for end in ("low", "high"))
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return cell
    # An end at the cap (up to rounding) is one that the baseline's budget sets.
    ends = [f"{'≥' * (end > 0.999999 * row['cap'])}{end:.2f}" for end in (low, high)]
    return Cell(f"{cell.text} [{', '.join(ends)}]", cell.sort)


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        meaning = STATUS_MEANING.get(str(row["status"]), "")
        if row["status"] != "ok":
            yield f"{row['label']}: {row['status']}, {meaning}."
        if row["notes"]:
            yield f"{row['label']}: {row['notes']}."
        if row["candidate_point_at_edge"] is True:
            yield f"{row['label']}: {edge_text('candidate_point')}."
    if any(sweep_stopped(row) for row in rows):
        decided = "decided" if all(row["decided"] for row in rows) else "not decided yet"
        yield f"The baseline's sweep stopped at {sweep_text(rows[0])}: {decided}."
    for name in ("best_rate", "best_rate_at_budget"):
        if any(row[f"{name}_at_edge"] is True for row in rows):
            yield f"{edge_text(name).capitalize()}."


def _words(rows: Sequence[Row], curves: pd.DataFrame, baseline: str) -> str:
    """Describe the chart for those who do not see it."""
    if not len(curves):
        return "No results."
    first = rows[0]
    parts = [f"Train loss from {loss(first['initial_train']).text}."]
    if isinstance(first["baseline_train"], float) and math.isfinite(first["baseline_train"]):
        parts.append(f"{baseline} comes to {loss(first['baseline_train']).text}.")
    for row in rows:
        reached = loss(row["candidate_train"]).text
        found = ratio(row, "steps", "default").text
        parts.append(f"{row['label']} comes to {reached}, speedup in steps {found}.")
    return " ".join(parts)


def _data(row: Row) -> str:
    named = [str(row[key]) for key in ("data", "provenance") if isinstance(row[key], str)]
    return ", ".join(named) or "unknown data"
