"""How jobs end: failures are recorded in the store, where all who work in it read them."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from velodrome.foundation.errors import StoreError, VelodromeError, wants_traceback
from velodrome.optimizers.probe import described
from velodrome.results.store.json_files import checked, read_json
from velodrome.results.store.records import Failure
from velodrome.results.store.store import FAILED, Store
from velodrome.suites.running.engines.base import SHARD, Job

#: When so many shards of a cell have failed with one message, and none was trained, the others
#: are not tried.
ALIKE = 2

_NOT_TRIED = "not tried, because"


class JobFailedError(Exception):
    """A job that was done elsewhere has failed: kind and message as of `failure_of`."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


class WorkerLostError(Exception):
    """What did a job elsewhere is gone; the job may be tried again, by whoever has room for it."""


def failure_of(error: BaseException) -> tuple[str, str]:
    """Return the kind of a failure, as ``"oom"`` or ``"error"``, and its message.

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
    if isinstance(error, JobFailedError):
        return error.kind, text
    if isinstance(error, VelodromeError):
        return "error", text
    return "error", described(error)


def is_done(store: Store, job: Job) -> bool:
    return store.has_shard(job.id) if job.kind == SHARD else job.id in store.timings


def record(store: Store, job: Job, kind: str, message: str) -> None:
    """Write to the store why a shard, or the timing of a task, failed."""
    if job.kind == SHARD:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        said = {"cell": job.cell, "kind": kind, "message": message, "time": now}
        store.write_failure(job.id, said)
        return
    timed = store.timings
    for cell in store.plan.cells:
        if cell.task.index == job.task and cell.id not in timed:
            store.write_timing_failure(cell.id, kind, message)


def failed_since(store: Store, job: Job, since: float) -> Failure | None:
    """Return how a job failed, if it did after ``since``, by the clock of the file system."""
    if job.kind == SHARD:
        path = store.directory / "failures" / f"{job.id}.json"
    else:
        path = store.directory / "timings" / f"{job.id}{FAILED}.json"
    if _modified(path) < since:
        return None
    try:
        return checked(Failure, read_json(path), path)
    except StoreError:
        return None


def hopeless(store: Store, jobs: Iterable[Job], since: float) -> str:
    """Return why other shards of a cell need not be tried: empty if they are worth it.

    ``jobs`` are those of the cell.
    """
    jobs = [job for job in jobs if job.kind == SHARD]
    found = [failure for job in jobs if (failure := failed_since(store, job, since))]
    messages = [one.get("message", "") for one in found if one.get("kind") == "error"]
    tried = [message for message in messages if not message.startswith(_NOT_TRIED)]
    if len(tried) < ALIKE or len(set(map(_comparable, tried))) > 1:
        return ""
    cell = next(job.cell for job in jobs)
    if any(store.has_shard(shard.id) for shard in store.plan.shards_of(cell)):
        return ""
    return f"{_NOT_TRIED} {ALIKE} shards of its cell had failed alike: {tried[0]}"


def _comparable(message: str) -> str:
    """Return a message without addresses and numbers of steps, which differ between shards."""
    return re.sub(r"\b(0x[0-9a-f]+|steps? \d+)", "...", message, flags=re.IGNORECASE)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return -1.0
