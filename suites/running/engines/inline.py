"""Run shards in this process, one after another."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from velodrome.foundation.interrupts import interrupts
from velodrome.results.store.claims import Claims
from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import LoadedSuite
from velodrome.suites.planning.spread import Spread
from velodrome.suites.running.engines.base import CHECKPOINT_SECONDS, Job, Listener
from velodrome.suites.running.engines.pull import Worker, do_job
from velodrome.suites.running.engines.watch import Watch
from velodrome.suites.training.compilation_cache import use_compilation_cache
from velodrome.suites.training.shard import ShardRunner


class InlineEngine:
    """Runs jobs in this process: for accelerators, short runs, notebooks and debugging."""

    def __init__(
        self,
        loaded: LoadedSuite,
        *,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        spread: Spread | None = None,
    ):
        self.loaded = loaded
        self.spread = spread
        self.checkpoint_seconds = checkpoint_seconds
        self._runner: ShardRunner | None = None

    def run(self, store: Store, jobs: Sequence[Job], listener: Listener) -> None:
        """Run all jobs; see `Engine`."""
        use_compilation_cache()
        if self._runner is None:
            seconds = self.checkpoint_seconds
            self._runner = ShardRunner(
                store, self.loaded, checkpoint_seconds=seconds, spread=self.spread
            )
        self._runner.go_on(store)
        claims = Claims(store.directory)
        since = claims.now()
        watch = Watch(store, jobs, listener, claims, since)
        with interrupts() as interrupted:
            do = functools.partial(do_job, self._runner)
            mine = self._runner.tasks
            Worker(store, do, jobs, watch, claims, since=since, mine=mine).run(interrupted)
        watch.close()

    def close(self) -> None:
        """Forget data and programs."""
        self._runner = None
