"""Do jobs with a `ShardRunner`: one, for every engine; or all that a worker process receives."""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Mapping
from typing import Any, TextIO

from velodrome.foundation.errors import VelodromeError, WriteError
from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import LoadedSuite
from velodrome.suites.running.engines.base import SHARD, Job, failure_of
from velodrome.suites.suite import Suite
from velodrome.suites.training.compilation_cache import use_compilation_cache
from velodrome.suites.training.shard import Control, ShardRunner, Stopped
from velodrome.suites.training.timing import time_task


def do_job(runner: ShardRunner, job: Job, control: Control) -> None:
    """Do a job and write its files to the runner's store.

    Raises:
      Stopped: ``control`` asked to stop.
    """
    if job.kind == SHARD:
        runner.run_shard(job.id, control)
        return
    timed, failed = time_task(runner, job.task)
    for cell, record in timed.items():
        runner.store.write_timing(cell, record)
    for cell, error in failed.items():
        runner.store.write_timing_failure(cell, *failure_of(error))


def serve(
    settings: Mapping[str, Any],
    jobs: queue.Queue[dict[str, Any] | None],
    stop: threading.Event,
    answers: TextIO,
) -> int:
    """Do jobs until a None comes, and write answers as lines of JSON; return the exit status."""

    def answer(event: str, **values: object) -> None:
        answers.write(json.dumps({"event": event, **values}) + "\n")
        answers.flush()

    class Answers:
        def report(self, *, fraction: float, last_loss: Mapping[int, float]) -> None:
            answer("progress", fraction=fraction, last_loss=list(last_loss.items()))

        def should_stop(self) -> bool:
            return stop.is_set()

    use_compilation_cache()
    try:
        store = Store.open(settings["directory"], question_name=settings["question"])
        loaded = LoadedSuite.of(Suite.from_json(settings["suite"]))
        runner = ShardRunner(store, loaded, checkpoint_seconds=settings["checkpoint_seconds"])
        runner.check()
    except VelodromeError as error:
        answer("refused", message=str(error))
        return 1
    answer("ready", pid=os.getpid())
    while (received := jobs.get()) is not None:
        try:
            do_job(runner, Job(**received), Answers())
        except Stopped:
            answer("stopped")
            return 0
        except BrokenPipeError:
            raise
        except Exception as error:  # the engine records it; the worker goes on
            kind, message = failure_of(error)
            unwritable = isinstance(error, WriteError)
            answer("failed", kind=kind, message=message, unwritable=unwritable)
        else:
            answer("done")
    return 0
