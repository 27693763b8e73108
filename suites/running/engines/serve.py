"""What a worker process does: it pulls jobs, and writes what happens as lines of JSON."""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from velodrome.foundation.errors import VelodromeError, WriteError
from velodrome.results.store.claims import Claims
from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import LoadedSuite
from velodrome.suites.planning.spread import spread_of
from velodrome.suites.running.engines.base import Job
from velodrome.suites.running.engines.orders import Orders
from velodrome.suites.running.engines.pull import Worker, do_job
from velodrome.suites.suite import Suite
from velodrome.suites.training.compilation_cache import use_compilation_cache
from velodrome.suites.training.shard import ShardRunner


def serve(settings: Mapping[str, Any], orders: Orders, answers: TextIO) -> int:
    """Do the jobs of each order until the orders end; return the exit status.

    Data, compiled programs and the ends of runs are kept from one order to the next.
    """
    listener = _Answers(answers)
    use_compilation_cache()
    runner: ShardRunner | None = None
    for order in orders:
        try:
            store = Store.open(order["directory"], question_name=order["question"])
            if runner is None:
                loaded = LoadedSuite.of(Suite.from_json(settings["suite"]))
                pause = settings["checkpoint_seconds"]
                spread = spread_of(settings["spread"])
                runner = ShardRunner(store, loaded, checkpoint_seconds=pause, spread=spread)
                runner.check()
                listener.answer("ready", pid=os.getpid())
            else:
                runner.go_on(store)
                runner.check()
        except VelodromeError as error:
            listener.answer("refused", message=str(error))
            return 1
        worker = Worker(
            store,
            functools.partial(do_job, runner),
            [Job(**job) for job in order["jobs"]],
            listener,
            Claims(Path(order["directory"]), order["session"]),
            since=order["since"],
            memory_bytes=settings["memory_bytes"],
            mine=runner.tasks,
            theirs=order["theirs"],
        )
        try:
            worker.run(orders.stop, orders.news)
        except KeyboardInterrupt:
            return 0  # what was under way is saved
        except WriteError as error:
            listener.answer("unwritable", message=str(error))
            return 0
        listener.answer("idle")
    return 0


class _Answers:
    """A listener that writes lines of JSON; jobs are named."""

    def __init__(self, out: TextIO):
        self._out = out

    def answer(self, event: str, **values: object) -> None:
        self._out.write(json.dumps({"event": event, **values}) + "\n")
        self._out.flush()

    def job_started(self, job: Job) -> None:
        self.answer("started", job=job.name)

    def job_progress(self, job: Job, fraction: float, last_loss: Mapping[int, float]) -> None:
        losses = [(lane, float(loss)) for lane, loss in last_loss.items() if math.isfinite(loss)]
        self.answer("progress", job=job.name, fraction=float(fraction), last_loss=losses)

    def job_finished(self, job: Job) -> None:
        self.answer("done", job=job.name)

    def job_failed(self, job: Job, kind: str, message: str, *, again: bool) -> None:
        del again
        self.answer("failed", job=job.name, kind=kind, message=message)

    def say(self, message: str) -> None:
        self.answer("says", message=message)
