"""Progress bars on a terminal; elsewhere a line every half minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TransferSpeedColumn,
)

from velodrome.foundation.streams import is_terminal

LINE_SECONDS = 30.0


class ProgressBars:
    """Show on the standard error how far things are, while a ``with`` block runs.

    Args:
      in_bytes: Whether amounts are bytes; else they are examples.
    """

    def __init__(self, *, in_bytes: bool = True):
        self._in_bytes = in_bytes
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last_line = time.monotonic()

    def __enter__(self) -> ProgressBars:
        if is_terminal(sys.stderr):
            columns = (
                (DownloadColumn(), TransferSpeedColumn())
                if self._in_bytes
                else (MofNCompleteColumn(),)
            )
            self._bars = Progress(
                *Progress.get_default_columns(),
                *columns,
                console=Console(stderr=True, emoji=False),
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` (0 if unknown) are done."""
        if self._bars is None:
            if time.monotonic() - self._last_line >= LINE_SECONDS:
                self._last_line = time.monotonic()
                of = f" of {total:,}" if total else ""
                print(f"{what}: {done:,}{of}", file=sys.stderr, flush=True)
            return
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=None)
        self._bars.update(self._tasks[what], completed=done, total=total or None)

    def of(self, what: str) -> Callable[[int, int], None]:
        """Return ``progress(done, total)`` for one thing."""
        return lambda done, total: self.show(what, done, total)
