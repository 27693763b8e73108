"""Tables of the page: cells with a text to read and a value to sort by."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pandas as pd

from velodrome.results.report.data import Row
from velodrome.results.report.tables import (
    NOTHING,
    TextTable,
    best_text,
    loss_text,
    speedup_text,
)

DASH = "–"
"""Stands in cells without a value."""


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and what sorts it when that is not the text; "" comes last."""

    text: str
    sort: str | None = None


@dataclass(frozen=True)
class Column:
    """One column; numbers are flushed right, and minor ones go on narrow screens.

    ``help`` is the meaning, where the title does not say it.
    """

    title: str
    number: bool = False
    minor: bool = False
    help: str = ""


@dataclass(frozen=True)
class PageTable:
    """A table whose first column heads the rows."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def text_table(caption: str, table: TextTable) -> PageTable:
    """Make a table of texts; a column is one of numbers if every cell begins like one."""
    found = [[readable(cell) for cell in row] for row in table.rows]
    columns = []
    for place, title in enumerate(table.header):
        cells = [row[place] for row in found]
        number = place > 0 and bool(cells) and all(_like_a_number(cell) for cell in cells)
        columns.append(Column(title, number))
    return PageTable(caption, tuple(columns), tuple(tuple(map(Cell, row)) for row in found))


def frame_table(
    caption: str, frame: pd.DataFrame, titles: Mapping[str, str], *, minor: Collection[str] = ()
) -> PageTable:
    """Return the columns of a frame that ``titles`` names and that are there, in its order.

    Columns named in ``minor`` may be left out on narrow screens.
    """
    names = [name for name in titles if name in frame]
    columns = tuple(
        Column(
            titles[name], pd.api.types.is_numeric_dtype(frame[name]) and place > 0, name in minor
        )
        for place, name in enumerate(names)
    )
    rows = frame.to_dict("records")
    cells = tuple(tuple(plain(row[name]) for name in names) for row in rows)
    return PageTable(caption, columns, cells)


def plain(value: object) -> Cell:
    """Return a number in four digits, or a text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Cell(DASH, "")
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, int):
        return Cell(f"{value:,}", str(value))
    if isinstance(value, float):
        return _number(f"{value:.4g}", value)
    return Cell(readable(str(value)))


def loss(value: object) -> Cell:
    """Return a loss in three digits."""
    return _number(loss_text(value), value)


def ratio(row: Row, unit: str, definition: str) -> Cell:
    """Return a speedup of the summary, as ``≥5x`` where it is a lower bound."""
    value = row[f"speedup_{unit}_{definition}"]
    # At the ceiling what is censored comes after what is exactly that.
    nudge = 1e-6 if row[f"censored_{definition}"] == "right" else 0.0
    return _number(speedup_text(row, unit, definition), value and value * (1 + nudge))


def point(row: Row, name: str) -> Cell:
    """Return the best point of either side, marked where it is at the edge of the grid."""
    text = best_text(row, name, edge=" (edge)")
    if text == NOTHING:
        return Cell(DASH, "")
    return Cell(text, repr(row["best_rate"]) if name == "best_rate" else text)


def _number(text: str, value: object) -> Cell:
    if text == NOTHING or not isinstance(value, float):
        return Cell(DASH, "")
    return Cell(readable(text).replace("inf", "∞"), repr(float(value)))


def readable(text: str) -> str:
    return text.replace(">=", "≥").replace("<=", "≤")


def _like_a_number(text: str) -> bool:
    return text in ("-", DASH, "") or text.lstrip("≥≤<>~ ")[:1].isdigit()
