"""Tables of the page: cells with the text to be read and the value to be sorted by."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from velodrome.results.analyses.tuning import rate_text
from velodrome.results.speedup.speedup import format_ratio

NOTHING = "–"
"""Stands in cells without a value."""


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
      text: what is read.
      sort: what is sorted by, when that is not the text; "" comes last.
    """

    text: str
    sort: str | None = None


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
      title: its header.
      number: whether it is flushed right.
      minor: whether it may be left out on narrow screens.
      help: what it means, where the title does not say.
    """

    title: str
    number: bool = False
    minor: bool = False
    help: str = ""


@dataclass(frozen=True)
class PageTable:
    """A table whose first column heads the rows.

    Attributes:
      caption: what it shows.
      columns: from left to right.
      rows: as many cells as columns.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def text_table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> PageTable:
    """A table of texts; a column is one of numbers if every cell begins like one."""
    found = [[readable(cell) for cell in row] for row in rows]
    columns = []
    for place, title in enumerate(header):
        cells = [row[place] for row in found]
        number = place > 0 and bool(cells) and all(_like_a_number(cell) for cell in cells)
        columns.append(Column(title, number))
    return PageTable(caption, tuple(columns), tuple(tuple(map(Cell, row)) for row in found))


def frame_table(
    caption: str, frame: pd.DataFrame, titles: Mapping[str, str], *, minor: Collection[str] = ()
) -> PageTable:
    """The columns of a frame that ``titles`` names and that are there, in its order.

    Args:
      caption: what the table shows.
      frame: its rows.
      titles: of the columns, by their names in the frame.
      minor: names of columns that may be left out on narrow screens.
    """
    names = [name for name in titles if name in frame]
    columns = tuple(
        Column(
            titles[name], pd.api.types.is_numeric_dtype(frame[name]) and place > 0, name in minor
        )
        for place, name in enumerate(names)
    )
    rows = frame.to_dict("records")
    return PageTable(
        caption, columns, tuple(tuple(plain(row[name]) for name in names) for row in rows)
    )


def plain(value: Any) -> Cell:
    """A number in four digits, or a text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Cell(NOTHING, "")
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, int):
        return Cell(f"{value:,}", str(value))
    if isinstance(value, float):
        return Cell(f"{value:.4g}" if math.isfinite(value) else "∞", f"{value!r}")
    return Cell(readable(str(value)))


def loss(value: Any) -> Cell:
    """A loss in three digits."""
    if not isinstance(value, float) or math.isnan(value):
        return Cell(NOTHING, "")
    return Cell(f"{value:.3g}" if math.isfinite(value) else "∞", repr(value))


def ratio(row: Mapping[Any, Any], unit: str, definition: str) -> Cell:
    """A speedup of the summary, as ``≥5x`` where it is a lower bound."""
    value = row[f"speedup_{unit}_{definition}"]
    if value is None or math.isnan(value):
        return Cell(NOTHING, "")
    censored, diverged = row[f"censored_{definition}"], row[f"diverged_{definition}"] is True
    text = format_ratio(float(value), censored=censored, diverged=diverged)
    # At the ceiling what is censored comes after what is exactly that.
    nudge = 1e-6 if censored == "right" else 0.0
    return Cell(readable(text), repr(float(value) * (1 + nudge)))


def rate(row: Mapping[Any, Any]) -> Cell:
    """The baseline's best rate, marked where it is at the edge of the grid."""
    value = row["best_rate"]
    if not isinstance(value, float) or not value > 0:
        return Cell(NOTHING, "")
    edge = " (edge)" if row["best_rate_at_edge"] is True else ""
    return Cell(rate_text(value) + edge, repr(value))


def readable(text: str) -> str:
    """``≥`` for ``>=``."""
    return text.replace(">=", "≥")


def _like_a_number(text: str) -> bool:
    return text in ("-", NOTHING, "") or text.lstrip("≥<>~ ")[:1].isdigit()
