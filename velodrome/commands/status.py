"""``velodrome status``: how far a store is, and who works in it."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text
from tyro.conf import Positional, arg

from velodrome.commands._parsing import option, run_command
from velodrome.commands._tables import console, table_of
from velodrome.foundation.files import resolved
from velodrome.foundation.streams import is_terminal
from velodrome.foundation.text import duration, plural

if TYPE_CHECKING:
    from velodrome.results.store.status import Status

EXAMPLES = (
    "velodrome status runs/demo",
    "velodrome status runs/demo --watch",
    "velodrome status runs/demo --watch --page runs/demo/live.html   # open it in a browser",
    "velodrome status runs/demo --json",
)

#: Rows of cells that are shown: first those that are being trained.
_MOST_CELLS = 24
_MOST_FAILURES = 5


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
    return run_command(status, arguments, name="status", examples=EXAMPLES)


def status(
    store: Positional[Annotated[Path, arg(metavar="STORE")]],
    /,
    *,
    watch: bool = False,
    seconds: float = 2.0,
    page: Annotated[Path | None, option("FILE")] = None,
    json_only: Annotated[bool, arg(name="json")] = False,
) -> int:
    """Show how far a store is: what runs where, what is done, what failed, how long it will take.

    It only reads, and may be called while any number of runs work in the store.

    Args:
      store: The directory of the store.
      watch: Show it again and again, until everything is done or you press Ctrl-C.
      seconds: With --watch: how long to wait in between.
      page: Write it into this HTML file too, with the curves as they grow. With --watch the file is
        written again and again, and a browser loads it again by itself.
      json_only: Print JSON, one object a line, and nothing else.
    """
    from velodrome.results.store.status import StatusReader  # noqa: PLC0415 - help needs no psutil

    directory = resolved(store)
    reader = StatusReader(directory)
    live = None
    if page is not None:
        # Curves need pyarrow, which the plain status does without.
        from velodrome.results.report.live import LivePage  # noqa: PLC0415

        live = LivePage(directory, resolved(page), seconds=seconds if watch else None)

    def states() -> Iterator[Status]:
        while True:
            now = reader.read()
            ended = (watch or live is not None) and _is_over(now, directory)
            if live is not None:
                live.write(now, ended=ended)
            yield now
            if not watch or ended:
                return
            time.sleep(max(0.1, seconds))

    if json_only:
        for now in states():
            print(json.dumps(dataclasses.asdict(now)), flush=True)
    elif watch and is_terminal(sys.stdout):
        with Live(console=console(), auto_refresh=False) as shown:
            for now in states():
                shown.update(_picture(now), refresh=True)
    else:
        for now in states():
            console().print(_picture(now))
    return 0


def _is_over(now: Status, directory: Path) -> bool:
    # It reads curves, and only where a watch may end: the plain status does without pandas.
    from velodrome.results.speedup.pending import is_over  # noqa: PLC0415

    return is_over(now, directory)


def _picture(now: Status) -> Group:
    left = f", about {duration(now.seconds_left)} left" if now.seconds_left else ""
    failed = f", {now.failed:,} failed" if now.failed else ""
    parts: list[RenderableType] = [
        Text(
            f"{now.directory}: {now.fraction:.0%} of the steps; {now.done:,} of "
            f"{plural(now.shards, 'shard')} and {now.runs_done:,} of {plural(now.runs, 'run')} "
            f"done{failed}; {plural(len(now.workers), 'worker')}{left}. Timed: {now.timed:,} of "
            f"{plural(len(now.cells), 'cell')}. Trained for {duration(now.seconds)} in all."
        )
    ]
    if now.damaged:
        parts.append(Text(f"{plural(now.damaged, 'file')} cannot be read; `report` says why."))
    if now.workers:
        titles = ("worker", "task", "optimizer", "#done", "#best loss", "#for", "#last heard")
        rows = [
            (
                f"{worker.host}:{worker.pid}", worker.task, worker.optimizer,
                "timing" if worker.kind == "timing" else f"{worker.fraction:.0%}",
                _loss(worker.best_loss), duration(worker.seconds),
                f"{duration(worker.silent_seconds)} ago",
            )
            for worker in now.workers
        ]  # fmt: skip
        parts += ["", table_of(titles, rows)]
    unfinished = [cell for cell in now.cells if cell.done < cell.runs]
    unfinished.sort(key=lambda cell: (-cell.working, -cell.failed))
    if unfinished:
        titles = (
            "task", "optimizer", "#runs", "#steps", "#failed", "#workers", "#saved steps", "#left",
        )  # fmt: skip
        rows = [
            (
                cell.task, cell.optimizer, f"{cell.done}/{cell.runs}", f"{cell.steps:,}",
                cell.failed or "", cell.working or "",
                f"{cell.interrupted_steps:,}" if cell.interrupted_steps else "",
                "" if cell.seconds_left is None else duration(cell.seconds_left),
            )
            for cell in unfinished[:_MOST_CELLS]
        ]  # fmt: skip
        parts += ["", table_of(titles, rows)]
        if len(unfinished) > _MOST_CELLS:
            parts.append(Text(f"and {len(unfinished) - _MOST_CELLS:,} more"))
    for message, count in list(now.failures.items())[:_MOST_FAILURES]:
        parts.append(Text(f"{plural(count, 'shard')} failed: {message}"))
    return Group(*parts)


def _loss(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.4g}"
