"""Choose the job that a free worker takes next."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from velodrome.results.store.lease import Lease
from velodrome.suites.running.engines.base import SHARD, TIMING, Job

#: A worker helps with a task that others have compiled if these predicted seconds are left of it:
#: as many as it takes to trace its programs and to load them from the compilation cache.
HELP_SECONDS = 5.0


def choose(
    waiting: Sequence[Job],
    busy: Sequence[Lease],
    *,
    task: int | None = None,
    mine: Collection[int] = (),
    theirs: Collection[int] = (),
    memory_bytes: int | None = None,
) -> Job | None:
    """Return the job that a worker takes next, or None if it has to wait.

    A worker stays with a task: it has its programs compiled. Without a task it takes the one with
    the most work left that nobody works on, first among those that it has compiled; when all are
    taken it helps with the largest. The last seconds of a task that others have compiled are left
    to them. Timings come last, preferably those of its own tasks. No number depends on the order.

    Args:
      waiting: Jobs that nobody works on.
      busy: What all others work on.
      task: The task of the worker's last job.
      mine: Tasks that the worker has compiled.
      theirs: As `left_to_others` returns them.
      memory_bytes: As `fits` takes it.
    """
    shards = [job for job in waiting if job.kind == SHARD]
    if not shards:
        timings = [job for job in waiting if fits(job, busy)]
        return min(timings, key=lambda job: job.task not in mine, default=None)
    shards = [job for job in shards if fits(job, busy, memory_bytes=memory_bytes)]
    if not shards:
        return None
    left: dict[int, float] = {}
    for job in shards:
        left[job.task] = left.get(job.task, 0.0) + job.weight
    if task not in left:
        taken = {lease.task for lease in busy}
        open_to_me = [
            index
            for index, seconds in left.items()
            if index in mine or index not in theirs or seconds >= HELP_SECONDS
        ]
        if not open_to_me:
            return None
        task = max(open_to_me, key=lambda index: (index not in taken, index in mine, left[index]))
    return max((job for job in shards if job.task == task), key=lambda job: job.weight)


def left_to_others(own: Collection[int], others: Iterable[Collection[int]]) -> set[int]:
    """Return the tasks whose last seconds a worker leaves to others: `choose` calls them theirs.

    Args:
      own: Tasks that the worker has compiled since it was started. It may have forgotten their
        programs. They stay open to it all the same: of two workers that both have forgotten a
        task, each would wait for the other for ever.
      others: Those of each other living worker.
    """
    return set().union(*others).difference(own)


def fits(job: Job, busy: Sequence[Lease], *, memory_bytes: int | None = None) -> bool:
    """Return whether a job can run beside what runs on this machine.

    A timing needs a quiet machine. Shards may together take ``memory_bytes``, as predicted (None:
    no limit); one that takes more by itself runs alone.
    """
    here = [lease for lease in busy if lease.here]
    if not here:
        return True
    if job.kind == TIMING or any(lease.kind == TIMING for lease in here):
        return False
    taken = sum(lease.memory_bytes for lease in here)
    return memory_bytes is None or taken + job.memory_bytes <= memory_bytes
