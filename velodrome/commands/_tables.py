"""Print plain tables, on a terminal or through a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.streams import is_terminal

T = TypeVar("T")

_PIPE_WIDTH = 400  # so that nothing is folded through a pipe


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, widest: int | None = None
) -> None:
    """Print a table; see `table_of`."""
    console().print(table_of(columns, rows, widest=widest))


def table_of(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, widest: int | None = None
) -> Table:
    """Return a table; columns whose title begins with ``#`` hold numbers and are flushed right.

    Cells of more than ``widest`` characters have several lines, through a pipe too. No word of
    theirs is cut: a path or a hash can be found, and copied, as it is.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    cells = [[str(cell) for cell in row] for row in rows]
    for at, title in enumerate(columns):
        right = title.startswith("#")
        words = [len(word) for row in cells for word in row[at].split()]
        table.add_column(
            title.removeprefix("#"),
            justify="right" if right else "left",
            max_width=max([widest, *words]) if widest else None,
        )
    for row in cells:
        table.add_row(*map(escape, row))
    return table


def each_usable(
    kind: str, names: Iterable[str], rows_of: Callable[[str], Iterable[T]]
) -> Iterator[T]:
    """Yield the rows of all names; say on stderr which cannot be loaded, and why."""
    for name in names:
        try:
            yield from rows_of(name)
        except Exception as error:  # another package may hold anything
            what = "" if isinstance(error, VelodromeError) else f"{type(error).__name__}: "
            reason = " ".join(f"{what}{error}".split())
            print(f"velodrome: {kind} {name!r} cannot be used: {reason}", file=sys.stderr)


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, _plain(value))
    console().print(table)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would exit with 1, which is the verdict of some commands.
        raise BrokenPipeError


def console() -> Console:
    """Return a console on what is the standard output now."""
    wide = None if is_terminal(sys.stdout) else _PIPE_WIDTH
    return _Console(emoji=False, file=sys.stdout, width=wide, highlight=False, soft_wrap=False)


def _plain(cell: object) -> str:
    return escape(str(cell))  # square brackets in names and shapes are no markup
