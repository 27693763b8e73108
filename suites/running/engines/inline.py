"""Run shards in this process, one after another."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from velodrome.foundation.errors import WriteError
from velodrome.foundation.interrupts import interrupts
from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import LoadedSuite
from velodrome.suites.running.engines.base import (
    CHECKPOINT_SECONDS,
    Failures,
    Job,
    Listener,
    failure_of,
)
from velodrome.suites.running.engines.serve import do_job
from velodrome.suites.training.compilation_cache import use_compilation_cache
from velodrome.suites.training.shard import ShardRunner, Stopped


class InlineEngine:
    """Runs jobs in this process: for accelerators, short runs, notebooks and debugging."""

    def __init__(self, loaded: LoadedSuite, *, checkpoint_seconds: float = CHECKPOINT_SECONDS):
        self.loaded = loaded
        self.checkpoint_seconds = checkpoint_seconds

    def run(self, store: Store, jobs: Sequence[Job], listener: Listener) -> None:
        """Run all jobs in their order; see `Engine`."""
        use_compilation_cache()
        runner = ShardRunner(store, self.loaded, checkpoint_seconds=self.checkpoint_seconds)
        outcomes = Failures(store, listener)
        with interrupts() as interrupted:
            for job in jobs:
                if interrupted.is_set():
                    raise KeyboardInterrupt
                if outcomes.hopeless(job):
                    outcomes.give_up(job)
                    continue
                listener.job_started(job)
                try:
                    do_job(runner, job, _InlineControl(job, listener, interrupted))
                except Stopped:
                    raise KeyboardInterrupt from None
                except WriteError:
                    raise  # the next shard would meet the same
                except Exception as error:  # recorded as the shard's outcome; others go on
                    outcomes.failed(job, *failure_of(error))
                else:
                    outcomes.succeeded(job)


class _InlineControl:
    def __init__(self, job: Job, listener: Listener, interrupted: threading.Event):
        self._job, self._listener, self._interrupted = job, listener, interrupted

    def report(self, *, fraction: float, last_loss: Mapping[int, float]) -> None:
        self._listener.job_progress(self._job, fraction, last_loss)

    def should_stop(self) -> bool:
        return self._interrupted.is_set()
