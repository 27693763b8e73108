"""Run shards in worker processes: one for each core, each computing with one thread.

Measured on small tasks, two processes of one thread train about twice as many lanes a second as
one process of two threads (docs/how-to/machines.md): a step of such a task is too short to share.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from velodrome.foundation.errors import PlanError, WriteError
from velodrome.results.store.claims import Claims
from velodrome.results.store.store import Store
from velodrome.suites.planning.spread import Spread, setting_of
from velodrome.suites.running.engines.base import ATTEMPTS, CHECKPOINT_SECONDS, Job, Listener
from velodrome.suites.running.engines.child import Child, Event
from velodrome.suites.running.engines.outcomes import is_done, record
from velodrome.suites.running.engines.schedule import left_to_others
from velodrome.suites.running.engines.watch import Watch
from velodrome.suites.suite import Suite
from velodrome.suites.training.environment import core_numbers

#: Seconds that workers have to save and stop; a long compilation may be in the way.
GRACE_SECONDS = 20.0

#: Seconds between two looks at what workers of other runs do.
_LOOK_SECONDS = 2.0


class ProcessEngine:
    """Runs jobs in worker processes, and keeps these until it is closed.

    A process costs seconds to start, and has compiled the programs of its tasks. So the stages of
    a sweep share them.

    Args:
      suite: The suite as it is asked for here: its names of files are those of this directory.
      threads: Threads that each computes with.
      checkpoint_seconds: Seconds between checkpoints of a running shard.
      platform: jax platform of the workers; empty: as in this process.
      memory_bytes: What the jobs that run at the same time may take together, as predicted;
        None: no limit.
      since: When the run began that these workers belong to; by default, it begins with them.
      spread: The devices of a worker that train each run together.

    Attributes:
      stop: If it is set, a run ends as after Ctrl-C.
    """

    def __init__(
        self,
        workers: int,
        suite: Suite,
        *,
        threads: int = 1,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        platform: str = "cpu",
        memory_bytes: int | None = None,
        since: float | None = None,
        spread: Spread | None = None,
    ):
        self.workers = workers
        self.suite = suite
        self.threads = threads
        self.checkpoint_seconds = checkpoint_seconds
        self.platform = platform
        self.memory_bytes = memory_bytes
        self.since = since
        self.spread = spread
        self.stop = threading.Event()
        self._pool: _Pool | None = None

    def run(self, store: Store, jobs: Sequence[Job], listener: Listener) -> None:
        """Run all jobs; see `Engine`. The workers wait for the next ones.

        Raises:
          PlanError: The workers cannot run the plan, such as when an optimizer is known only in
            this process. All workers have stopped, as after the others.
          KeyboardInterrupt: The user asked to stop.
        """
        if self._pool is None:
            self._pool = _Pool(self)
        try:
            self._pool.run(store, jobs, listener)
        except BaseException:
            # Also after Ctrl-C or an error: workers save what they are doing, then stop.
            self.close()
            raise

    def close(self) -> None:
        """Let the workers save what they do, and end them."""
        if self._pool is not None:
            self._pool.close()
        self._pool = None


class _Pool:
    """Worker processes; each takes the jobs of an order from the store by itself."""

    def __init__(self, engine: ProcessEngine):
        self.engine = engine
        self.events: queue.Queue[tuple[int, Event]] = queue.Queue()
        self.workers: dict[int, Child] = {}
        self.started = 0

    def run(self, store: Store, jobs: Sequence[Job], listener: Listener) -> None:
        self.store, self.jobs = store, {job.name: job for job in jobs}
        self.claims = Claims(store.directory)
        self.since = self.claims.now() if self.engine.since is None else self.engine.since
        self.watch = Watch(store, jobs, listener, self.claims, self.since)
        self.count = min(self.engine.workers, max(1, len(jobs)))
        self.idle_deaths = 0
        for worker in self.workers.values():
            self._order(worker)
        taken = {worker.slot for worker in self.workers.values()}
        for slot in range(self.count):
            if slot not in taken:
                self._start(slot)
        # One that waits for the last jobs of others learns from its next order that they are done.
        while self.watch.left and any(worker.busy for worker in self.workers.values()):
            if self.engine.stop.is_set():
                raise KeyboardInterrupt
            try:
                self._handle(*self.events.get(timeout=_LOOK_SECONDS))
            except queue.Empty:
                self.watch.look()
        self.watch.close()

    def close(self) -> None:
        for worker in self.workers.values():
            worker.hang_up()
        deadline = time.monotonic() + GRACE_SECONDS
        for worker in self.workers.values():
            worker.end(max(0.0, deadline - time.monotonic()))

    def _start(self, slot: int) -> None:
        cores = core_numbers()
        # Pinned only if all cores are in use anyway: else two runs would meet on core 0.
        pinned = [cores[slot % len(cores)]] if self.count >= len(cores) else []
        if self.engine.threads > 1:
            pinned = []
        number, self.started = self.started, self.started + 1
        settings = {
            "cores": pinned,
            "checkpoint_seconds": self.engine.checkpoint_seconds,
            "spread": setting_of(self.engine.spread),
            "suite": self.engine.suite.to_json(),
            "memory_bytes": self.engine.memory_bytes,
        }
        worker = Child(
            number, slot, settings, environment=_environment(self.engine), events=self.events
        )
        self.workers[number] = worker
        self._order(worker)

    def _order(self, worker: Child) -> None:
        others = [other.tasks for other in self.workers.values() if other is not worker]
        worker.order(
            {
                "directory": str(Path(self.store.directory).resolve()),
                "question": self.store.question.partition("-")[2],
                "jobs": [vars(job) for job in self.jobs.values()],
                "session": self.claims.session,
                "since": self.since,
                "theirs": sorted(left_to_others(worker.tasks, others)),
            }
        )

    def _handle(self, number: int, event: Event) -> None:
        kind = event["event"]
        if kind == "refused":
            raise PlanError(
                f"a worker process cannot run this plan: {event['message']} What only this "
                "process knows can run in it: pass workers=0 (--workers 0); or give it as "
                "path/to/file.py:object, or as an entry point of an installed package."
            )
        if kind == "unwritable":
            raise WriteError(event["message"])
        if kind == "exited":
            self._exited(number, event["status"])
        elif kind == "says":
            self.watch.say(event["message"])
        elif kind == "idle":
            self.workers[number].orders -= 1
        elif job := self.jobs.get(event.get("job", "")):
            self.workers[number].tasks.add(job.task)
            self._report(kind, job, event)

    def _report(self, kind: str, job: Job, event: Event) -> None:
        if kind == "started":
            self.watch.job_started(job)
        elif kind == "progress":
            losses = {int(lane): float(loss) for lane, loss in event["last_loss"]}
            self.watch.job_progress(job, event["fraction"], losses)
        elif kind == "done":
            self.watch.job_finished(job)
        elif kind == "failed":
            self.watch.job_failed(job, event["kind"], event["message"], again=False)

    def _exited(self, number: int, status: int) -> None:
        worker = self.workers.pop(number)
        last_words = worker.last_words()
        worker.hang_up()
        worker.end(0.0)
        if status == 0 or not worker.busy:
            return  # another is started when there is something to do
        lease = self.claims.abandon(worker.process.pid)
        # What is wrong is not a job, which would be given up: another worker would end alike.
        if not worker.ready or (lease is None and status > 0):
            self.idle_deaths += 1
            if self.idle_deaths > ATTEMPTS:
                raise PlanError(f"worker processes do not work (exit {status}): {last_words}")
        job = self.jobs.get(lease.name) if lease is not None else None
        if lease is not None and job is not None and is_done(self.store, job):
            self.claims.drop(lease)
        elif lease is not None and job is not None:
            again = lease.next_attempt <= ATTEMPTS
            if not again:
                record(self.store, job, "killed", _death(status, last_words))
                self.claims.drop(lease)
            self.watch.job_failed(job, "killed", _death(status, last_words), again=again)
        self._start(worker.slot)


def _environment(engine: ProcessEngine) -> dict[str, str]:
    threads = str(engine.threads)
    return {
        **os.environ,
        **({"JAX_PLATFORMS": engine.platform} if engine.platform else {}),
        "NPROC": threads,  # the size of XLA's thread pool
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
    }


def _death(status: int, last_words: str) -> str:
    if status == -9:
        reason = (
            "its process was killed by signal 9; often that is the system running out of memory: "
            "use fewer workers (--workers)"
        )
    elif status < 0:
        reason = f"its process was killed by signal {-status}"
    else:
        reason = f"its process ended with status {status}"
    return f"{reason}. Its last words: {last_words[-500:]}" if last_words else f"{reason}."
