"""What engines share: jobs, reports about them, and the record of a failure."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

from velodrome.foundation.errors import VelodromeError, wants_traceback
from velodrome.optimizers.probe import described
from velodrome.results.store.store import Store

SHARD = "shard"
TIMING = "timing"

#: When so many shards of a cell have failed with one message, and none was trained, the others
#: are not tried.
ALIKE = 2

#: Default seconds between checkpoints of a running shard.
CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True)
class Job:
    """A unit of work for an engine.

    Attributes:
      kind: ``"shard"`` (train it) or ``"timing"`` (measure the optimizers of a task).
      id: Id of the shard, or of the first cell of the task.
      cell: Id of the cell.
      task: Index of the task; jobs of a task share data and programs.
      weight: Predicted seconds, for the order and the display.
      memory_bytes: Predicted memory; jobs that do not fit together run one after the other.
    """

    kind: str
    id: str
    cell: str
    task: int
    weight: float
    memory_bytes: int = 0


@runtime_checkable
class Listener(Protocol):
    """Receives reports from an engine; for progress displays."""

    def job_started(self, job: Job) -> None:
        """A job has begun, perhaps for the second time."""

    def job_progress(self, job: Job, fraction: float, last_loss: Mapping[int, float]) -> None:
        """A part of a job, from 0 to 1, is done; the last train loss by lane."""

    def job_finished(self, job: Job) -> None:
        """The job's file is in the store."""

    def job_failed(self, job: Job, kind: str, message: str, *, again: bool) -> None:
        """The job failed; ``again`` says whether it will be tried once more."""

    def say(self, message: str) -> None:
        """Show a message to the user."""


@runtime_checkable
class Engine(Protocol):
    """Runs jobs."""

    def run(self, store: Store, jobs: Sequence[Job], listener: Listener) -> None:
        """Run all jobs; failures are recorded in the store and do not stop the others.

        Raises:
          KeyboardInterrupt: The user asked to stop. Finished shards are in the store, and the
            others that had begun have a checkpoint there.
          VelodromeError: Nothing can run, or nothing can be written.
        """


def failure_of(error: BaseException) -> tuple[str, str]:
    """Return the kind of a failure (``"oom"`` or ``"error"``) and its message.

    With ``VELODROME_TRACEBACK=1`` the traceback goes to standard error.
    """
    if wants_traceback():
        traceback.print_exception(error)
    text = str(error).strip() or type(error).__name__
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "Out of memory" in text:
        return "oom", (
            f"out of memory: {text.splitlines()[0]}. Use fewer workers or a smaller task; "
            "`velodrome run --dry-run` shows the memory that each shard is expected to take."
        )
    if isinstance(error, VelodromeError):
        return "error", text
    return "error", described(error)


class Failures:
    """Records what fails, and gives a cell up when all its shards fail alike."""

    def __init__(self, store: Store, listener: Listener):
        self._store = store
        self._listener = listener
        self._trained = {shard.cell for shard in store.plan.shards if store.has_shard(shard.id)}
        self._messages: dict[str, list[str]] = {}

    def succeeded(self, job: Job) -> None:
        self._trained.add(job.cell)
        self._listener.job_finished(job)

    def failed(self, job: Job, kind: str, message: str, *, again: bool = False) -> None:
        """Record a failure and report it; ``again`` says whether it will be tried once more."""
        _record(self._store, job, kind, message)
        if job.kind == SHARD and kind == "error":
            self._messages.setdefault(job.cell, []).append(message)
        self._listener.job_failed(job, kind, message, again=again)

    def hopeless(self, job: Job) -> bool:
        """Return whether a job is not worth trying."""
        messages = self._messages.get(job.cell, ())
        alike = len(messages) >= ALIKE and len(set(map(_comparable, messages))) == 1
        return job.kind == SHARD and alike and job.cell not in self._trained

    def give_up(self, job: Job) -> None:
        """Record that a job was not tried, and why."""
        message = self._messages[job.cell][0]
        why = f"not tried, because {ALIKE} shards of its cell had failed alike: {message}"
        _record(self._store, job, "error", why)
        self._listener.job_started(job)
        self._listener.job_failed(job, "error", why, again=False)


def _comparable(message: str) -> str:
    """Return a message without addresses and numbers of steps, which differ between shards."""
    return re.sub(r"\b(0x[0-9a-f]+|steps? \d+)", "...", message, flags=re.IGNORECASE)


def _record(store: Store, job: Job, kind: str, message: str) -> None:
    """Write to the store why a shard, or the timing of a task, failed."""
    if job.kind == SHARD:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = {"cell": job.cell, "kind": kind, "message": message, "time": now}
        store.write_failure(job.id, record)
        return
    timed = store.timings
    for cell in store.plan.cells:
        if cell.task.index == job.task and cell.id not in timed:
            store.write_timing_failure(cell.id, kind, message)
