"""The worker loop of every engine: find a job that is left, claim it, do it, take the next."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from velodrome.foundation.errors import WriteError
from velodrome.results.store.claims import Claim, Claims
from velodrome.results.store.store import Store
from velodrome.suites.running.engines.base import ATTEMPTS, SHARD, Job, Listener
from velodrome.suites.running.engines.outcomes import (
    WorkerLostError,
    failed_since,
    failure_of,
    hopeless,
    is_done,
    record,
)
from velodrome.suites.running.engines.schedule import choose, fits
from velodrome.suites.training.shard import Control, ShardRunner, Stopped
from velodrome.suites.training.timing import time_task

#: Seconds between two looks at jobs that others do: the first pause, and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class Worker:
    """Does jobs of a store until none is left, beside any others that work there.

    Args:
      do: Does a job and writes its files to the store, as `do_job` does.
      jobs: What is to be done.
      since: When the run began, as `Claims.now` says: what failed since is not tried again.
      memory_bytes: What jobs on this machine may take together, as predicted; None: no limit.
      mine: Tasks that this worker has compiled already.
      theirs: As `velodrome.suites.running.engines.schedule.left_to_others` returns them.
    """

    def __init__(
        self,
        store: Store,
        do: Callable[[Job, Control], None],
        jobs: Sequence[Job],
        listener: Listener,
        claims: Claims,
        *,
        since: float,
        memory_bytes: int | None = None,
        mine: Collection[int] = (),
        theirs: Collection[int] = (),
    ):
        self._store, self._do_job = store, do
        self._listener, self._claims = listener, claims
        self._since, self._memory_bytes = since, memory_bytes
        self._waiting = {job.name: job for job in jobs}
        self._mates: dict[str, list[Job]] = {}
        for job in jobs:
            self._mates.setdefault(job.cell, []).append(job)
        self._task: int | None = None
        self._mine, self._theirs = set(mine), frozenset(theirs)

    def run(self, stop: threading.Event, look: threading.Event | None = None) -> None:
        """Work until every job is done or has failed, here or elsewhere.

        Args:
          stop: Set to save and stop.
          look: Set to look at once at what others have done, and to stop.

        Raises:
          KeyboardInterrupt: ``stop`` was set, and the job that was under way is saved.
          WriteError: The store cannot be written.
          WorkerLostError: What does the jobs is gone; call it again when there is another.
        """
        pause = _FIRST_PAUSE
        while self._waiting:
            if stop.is_set():
                raise KeyboardInterrupt
            if self._step(stop):
                pause = _FIRST_PAUSE
                continue
            # Others may end between two looks: workers that look at once would all wait again.
            (look or stop).wait(pause * random.uniform(0.5, 1.0))
            if look is not None:
                look.clear()
            pause = min(1.5 * pause, _LONGEST_PAUSE)

    def _step(self, stop: threading.Event) -> bool:
        """Settle a job; return False if others do or hinder all that are left."""
        busy = {lease.name: lease for lease in self._claims.held()}
        job = choose(
            [job for name, job in self._waiting.items() if name not in busy],
            list(busy.values()),
            task=self._task,
            mine=self._mine,
            theirs=self._theirs,
            memory_bytes=self._memory_bytes,
        )
        if job is None:
            # What is left to others may be done, and nobody has to be waited for then.
            over = [name for name, one in self._waiting.items() if self._is_settled(one)]
            for name in over:
                del self._waiting[name]
            return bool(over)
        if self._is_settled(job):
            # Without a claim: many workers find the same jobs done, and none need wait.
            del self._waiting[job.name]
            return True
        lease = self._claims.lease(
            kind=job.kind, id=job.id, cell=job.cell, task=job.task, memory_bytes=job.memory_bytes
        )
        claim = self._claims.take(lease, since=self._since)
        if claim is None:
            return False
        with claim:
            if not self._is_settled(job):
                others = [one for one in self._claims.held() if one.name != job.name]
                # Two may have looked before either claimed.
                if not fits(job, others, memory_bytes=self._memory_bytes):
                    return False
                self._do(job, claim, stop)
            del self._waiting[job.name]
        return True

    def _is_settled(self, job: Job) -> bool:
        return is_done(self._store, job) or failed_since(self._store, job, self._since) is not None

    def _do(self, job: Job, claim: Claim, stop: threading.Event) -> None:
        self._listener.job_started(job)
        if why := job.kind == SHARD and hopeless(self._store, self._mates[job.cell], self._since):
            self._failed(job, "error", str(why))
            return
        if claim.lease.attempt > ATTEMPTS:
            self._failed(job, "killed", f"its worker ended {ATTEMPTS} times before it got further.")
            return
        self._task = job.task
        self._mine.add(job.task)
        try:
            self._do_job(job, _Control(job, claim, self._listener, stop))
        except Stopped:
            raise KeyboardInterrupt from None
        except (WriteError, BrokenPipeError, WorkerLostError):
            raise  # the next job would meet the same
        except Exception as error:  # recorded as the job's outcome; others go on
            self._failed(job, *failure_of(error))
        else:
            self._listener.job_finished(job)

    def _failed(self, job: Job, kind: str, message: str) -> None:
        record(self._store, job, kind, message)
        self._listener.job_failed(job, kind, message, again=False)


class _Control:
    """Passes the progress of a job on, and the wish to stop back."""

    def __init__(self, job: Job, claim: Claim, listener: Listener, stop: threading.Event):
        self._job, self._claim, self._listener, self._stop = job, claim, listener, stop

    def report(self, *, fraction: float, last_loss: Mapping[int, float]) -> None:
        self._claim.report(fraction, last_loss)
        self._listener.job_progress(self._job, fraction, last_loss)

    def should_stop(self) -> bool:
        return self._stop.is_set()


def do_job(runner: ShardRunner, job: Job, control: Control) -> None:
    """Do a job and write its files to the runner's store.

    Raises:
      Stopped: ``control`` asked to stop.
    """
    if job.kind == SHARD:
        runner.run_shard(job.id, control)
        return
    timed, failed = time_task(runner, job.task)
    for cell, timing in timed.items():
        runner.store.write_timing(cell, timing)
    for cell, error in failed.items():
        runner.store.write_timing_failure(cell, *failure_of(error))
