"""Plain tables and figures for people, on a terminal or through a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

_PIPE_WIDTH = 400  # through a pipe nothing shall be folded


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table; columns whose title begins with ``#`` hold numbers and are flushed right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in columns:
        right = title.startswith("#")
        table.add_column(title.removeprefix("#"), justify="right" if right else "left")
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    console().print(table)


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Prints names and values under each other."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, _plain(value))
    console().print(table)


def console() -> Console:
    """Returns where commands print to: the standard output of this moment."""
    wide = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(emoji=False, file=sys.stdout, width=wide, highlight=False, soft_wrap=False)


def count(value: int | float) -> str:
    """Writes a large number short: ``1.32 M``."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:g}"


def seconds(value: int | float) -> str:
    """Writes a duration short: ``1.2 ms``, ``3 min``."""
    for limit, unit in ((3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value / 1e-6:.3g} us"


def _plain(cell: object) -> str:
    # Square brackets in names and shapes are no markup.
    from rich.markup import escape

    return escape(str(cell))
