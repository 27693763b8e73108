"""Progress displays: a live table on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from velodrome.foundation.errors import UnknownNameError
from velodrome.foundation.streams import is_terminal
from velodrome.foundation.text import duration
from velodrome.results.store.plan import Plan
from velodrome.suites.running.engines.base import SHARD, Job
from velodrome.suites.running.progress import CellState, Progress, Tracker

#: Rows of the live table; a longer run shows only the cells that are being run.
MAX_ROWS = 24

#: Seconds between plain lines.
LINE_SECONDS = 10.0


class PlainProgress(Tracker):
    """Writes a line now and then, for logs; to standard error by default."""

    def __init__(self, out: TextIO | None = None):
        super().__init__()
        self._out = out or sys.stderr
        self._last = 0.0

    def job_progress(self, job: Job, fraction: float, last_loss: Mapping[int, float]) -> None:
        super().job_progress(job, fraction, last_loss)
        if time.monotonic() - self._last >= LINE_SECONDS:
            self._line(self.cells[job.cell])

    def job_finished(self, job: Job) -> None:
        super().job_finished(job)
        cell = self.cells[job.cell]
        if job.kind == SHARD and cell.done > cell.lanes - 0.5:
            self._line(cell)

    def job_failed(self, job: Job, kind: str, message: str, *, again: bool) -> None:
        if message not in self.reasons:  # one mistake is said once
            self.say(failure_text(self.cells[job.cell], job, kind, message, again))
        super().job_failed(job, kind, message, again=again)

    def say(self, message: str) -> None:
        # Training does not end because nobody reads about it any more.
        with contextlib.suppress(OSError, ValueError):
            print(message, file=self._out, flush=True)

    def _line(self, cell: CellState) -> None:
        self._last = time.monotonic()
        self.say(
            f"{self.fraction:4.0%}  {cell.task} / {cell.optimizer}: "
            f"{cell.done:.0f} of {cell.lanes} runs, "
            + ("" if math.isnan(cell.best) else f"best loss {cell.best:.4g}, ")
            + f"about {duration(self.seconds_left)} left"
        )


class LiveProgress(Tracker):
    """Shows a live table on a terminal; on standard error by default."""

    def __init__(self, console: Console | None = None):
        super().__init__()
        self._console = console or Console(stderr=True, emoji=False)
        self._live = Live(
            console=self._console, refresh_per_second=4, get_renderable=self._table, transient=False
        )

    def begin(self, plan: Plan, jobs: Sequence[Job]) -> None:
        super().begin(plan, jobs)
        if jobs:
            self._live.start()

    def end(self) -> None:
        """Leave the last state of the table on the screen."""
        self._live.stop()

    def job_failed(self, job: Job, kind: str, message: str, *, again: bool) -> None:
        if message not in self.reasons:  # one mistake is said once
            self.say(failure_text(self.cells[job.cell], job, kind, message, again))
        super().job_failed(job, kind, message, again=again)

    def say(self, message: str) -> None:
        """Write the message above the table."""
        self._console.print(message, highlight=False, markup=False)

    def _table(self) -> Table:
        table = Table(
            title=f"{self.fraction:.0%} done, {duration(self.elapsed)} so far, "
            f"about {duration(self.seconds_left)} left",
            title_justify="left",
        )
        for name in ("task", "optimizer"):
            table.add_column(name, no_wrap=True)
        for name in ("runs", "best loss"):
            table.add_column(name, justify="right")
        table.add_column("")
        cells = list(self.cells.values())
        if len(cells) > MAX_ROWS:
            cells = [cell for cell in cells if cell.active or cell.failed][:MAX_ROWS]
        for cell in cells:
            best = "" if math.isnan(cell.best) else f"{cell.best:.4g}"
            runs = f"{cell.done:.0f}/{cell.lanes}"
            table.add_row(cell.task, cell.optimizer, runs, best, _state(cell))
        return table


def _state(cell: CellState) -> str:
    if cell.failed:
        return f"{cell.failed} failed"
    if cell.done > cell.lanes - 0.5 and not cell.active:
        return "done"
    return "running" if cell.active else ""


def choose_progress(choice: str | Progress) -> Progress:
    """Return the display for ``"auto"``, ``"live"``, ``"plain"``, ``"silent"``, or the given one.

    Raises:
      UnknownNameError: It is another word.
    """
    if not isinstance(choice, str):
        return choice
    if choice == "auto":
        choice = "live" if is_terminal(sys.stderr) else "plain"
    makers = {"live": LiveProgress, "plain": PlainProgress, "silent": Tracker}
    if choice not in makers:
        raise UnknownNameError("progress display", choice, ["auto", *makers])
    return makers[choice]()


def failure_text(cell: CellState, job: Job, kind: str, message: str, again: bool) -> str:
    """Return a line about a failure."""
    what = "timing" if job.kind != SHARD else "shard"
    then = "it is tried once more" if again else "the others go on"
    return f"{cell.task} / {cell.optimizer}: {what} {job.id} failed ({kind}): {message} ({then})"
