"""Jobs still to run, and cleanup after killed processes."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import SpecError
from velodrome.results.store.claims import Claims
from velodrome.results.store.plan import Plan, PlannedCell
from velodrome.results.store.store import Store
from velodrome.suites.planning.estimates import shard_seconds, step_seconds
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.engines.base import SHARD, TIMING, Job
from velodrome.suites.suite import Suite

#: What timing an optimizer takes at least: its samples, and some calls before and after them.
_TIMING_SECONDS = 0.5
#: Steps that timing makes where one takes longer than a sample: 7 samples, and 2 before them.
_TIMING_STEPS = 9

#: Temporary files of this age belong to no running process.
STALE_SECONDS = 3600.0


def jobs_left(
    store: Store, suite: Suite, memory: Mapping[str, int], *, timing: bool
) -> tuple[list[Job], int]:
    """Return the jobs of a store's plan that are still to do, and how many shards are done.

    Shards come first; ``timing`` says whether cells are to be timed too. ``memory`` has the
    predicted bytes of each cell's largest shard.
    """
    plan = store.plan
    task_of = {cell.id: cell.task.index for cell in plan.cells}
    jobs, already = [], 0
    for shard in plan.shards:
        if store.has_shard(shard.id):
            already += 1
            continue
        weight, cell = shard_seconds(plan, shard, suite.protocol), shard.cell
        jobs.append(Job(SHARD, shard.id, cell, task_of[cell], weight, memory.get(cell, 0)))
    timed = store.timings
    of_task: dict[int, list[PlannedCell]] = {}
    for cell in plan.cells:
        # All optimizers of a task are timed in turns, also those that have been timed before.
        of_task.setdefault(cell.task.index, []).append(cell)
    for task, cells in of_task.items():
        missing = [cell.id for cell in cells if cell.id not in timed]
        if timing and missing:
            seconds = sum(timing_seconds(plan, cell, suite.protocol) for cell in cells)
            jobs.append(Job(TIMING, missing[0], missing[0], task, seconds))
    return jobs, already


def part_of(jobs: list[Job], shard: str | None) -> list[Job]:
    """Return the jobs of one part of the work: ``"2/8"`` is the second of eight.

    Which part a job belongs to depends on nothing else, so parts may start at any time.

    Raises:
      SpecError: ``shard`` is not of that form.
    """
    if shard is None:
        return jobs
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", shard)
    part, parts = map(int, found.groups()) if found else (0, 0)
    if not 1 <= part <= parts:
        raise SpecError("shard", shard, "a part and how many there are, such as 2/8, from 1/8 on")
    return [job for job in jobs if int(content_hash(job.name)[:8], 16) % parts == part - 1]


def timing_seconds(plan: Plan, cell: PlannedCell, protocol: Protocol) -> float:
    """Predict the seconds that timing an optimizer on a task takes, without compiling."""
    return max(_TIMING_SECONDS, _TIMING_STEPS * step_seconds(plan, cell, protocol))


def tidy(store: Store) -> None:
    """Remove what killed processes left: half-written files, files of jobs that are done."""
    checkpoints = store.directory / "checkpoints"
    for path in checkpoints.glob("[!.]*.npz"):
        if store.has_shard(path.stem):
            path.unlink(missing_ok=True)
    claims, timed = Claims(store.directory), store.timings
    for lease in claims.dead():
        # Its worker was killed between its last file and the end of the claim.
        if store.has_shard(lease.id) if lease.kind == SHARD else lease.id in timed:
            claims.drop(lease)
    for pattern in ("checkpoints/.*.tmp*", "shards/.*.tmp*", "states/.*.tmp*", "claims/.*"):
        for path in store.directory.glob(pattern):
            # Another run may be writing a younger one, or has just put it in its place.
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()
