"""Choose the job that a free worker takes next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from velodrome.suites.running.engines.base import SHARD, Job


class Schedule:
    """Hands out jobs so that a worker stays with a task: it has its programs compiled.

    A worker without a task takes the one with the most work left that nobody works on; when all
    are taken it helps with the largest. Timings come last and alone, on a quiet machine, each by
    the worker that trained the task if it is still running. A job that would not fit in memory
    beside the running ones waits, unless nothing runs. No number depends on the order.

    Args:
      memory_bytes: What all jobs that run may take together; None: no limit.
    """

    def __init__(self, jobs: Sequence[Job], *, memory_bytes: int | None = None):
        self._memory_bytes = memory_bytes
        self._waiting = list(jobs)
        self._running: dict[int, Job] = {}
        self._task_of: dict[int, int] = {}
        self._trained: dict[int, int] = {}

    @property
    def finished(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._waiting and not self._running

    @property
    def running(self) -> dict[int, Job]:
        """Return the jobs that run, by worker."""
        return dict(self._running)

    def take(self, worker: int) -> Job | None:
        """Return the next job for ``worker``, or None if it has to wait."""
        job = self._choose(worker)
        if job is not None:
            self._waiting.remove(job)
            self._running[worker] = job
            self._task_of[worker] = job.task
            self._trained[job.task] = worker
        return job

    def release(self, worker: int, *, again: bool = False) -> Job | None:
        """End the job of ``worker`` and return it; with ``again`` it waits once more."""
        job = self._running.pop(worker, None)
        if job is not None and again:
            self._waiting.insert(0, job)
        return job

    def drop(self, unwanted: Callable[[Job], bool]) -> list[Job]:
        """Remove waiting jobs, and return them."""
        dropped = [job for job in self._waiting if unwanted(job)]
        self._waiting = [job for job in self._waiting if job not in dropped]
        return dropped

    def forget(self, worker: int) -> None:
        """A worker is gone, and with it its compiled programs."""
        self._task_of.pop(worker, None)
        self._trained = {task: who for task, who in self._trained.items() if who != worker}

    def _choose(self, worker: int) -> Job | None:
        shards = [job for job in self._waiting if job.kind == SHARD]
        if not shards:
            return self._choose_timing(worker)
        shards = [job for job in shards if self._fits(job)]
        if not shards:
            return None
        mine = [job for job in shards if job.task == self._task_of.get(worker)]
        if mine:
            return max(mine, key=lambda job: job.weight)
        left: dict[int, float] = {}
        for job in shards:
            left[job.task] = left.get(job.task, 0.0) + job.weight
        taken = {job.task for who, job in self._running.items() if who != worker}
        free = [task for task in left if task not in taken]
        task = max(free or left, key=lambda index: left[index])
        return max((job for job in shards if job.task == task), key=lambda job: job.weight)

    def _fits(self, job: Job) -> bool:
        if self._memory_bytes is None or not self._running:
            return True
        taken = sum(other.memory_bytes for other in self._running.values())
        return taken + job.memory_bytes <= self._memory_bytes

    def _choose_timing(self, worker: int) -> Job | None:
        if self._running:
            return None
        mine = [job for job in self._waiting if self._trained.get(job.task, worker) == worker]
        return mine[0] if mine else None
