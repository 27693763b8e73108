"""A worker process: takes jobs from its standard input, answers on its standard output.

Started as ``python -m velodrome.suites.running.engines.worker SETTINGS`` by `velodrome.suites.running.engines.processes`. Lines of
JSON go both ways. The end of the input means: save and stop; so a worker never outlives whoever
started it. Nothing here imports jax before the process is pinned to its cores.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any, TextIO

from velodrome.foundation.interrupts import SIGNALS


def main(argument: str) -> int:
    """Runs the worker until its input ends; returns the exit status."""
    settings = json.loads(argument)
    for number in SIGNALS:  # they reach the starter too, which tells us
        signal.signal(number, signal.SIG_IGN)
    if settings["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, settings["cores"])
    answers = _take_stdout()
    stop = threading.Event()
    jobs: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=_read, args=(sys.stdin, jobs, stop), daemon=True).start()
    try:
        return _work(settings, jobs, stop, answers)
    except BrokenPipeError:
        return 1  # whoever started this process is gone


def _work(
    settings: Mapping[str, Any],
    jobs: queue.Queue[dict[str, Any] | None],
    stop: threading.Event,
    answers: TextIO,
) -> int:
    from velodrome.foundation.errors import VelodromeError, WriteError
    from velodrome.results.store.store import Store
    from velodrome.suites.running.engines.base import Job, failure_of
    from velodrome.suites.running.engines.jobs import do_job
    from velodrome.suites.training.jax_config import use_compilation_cache
    from velodrome.suites.training.shard import Stopped, Workshop

    def answer(event: str, **values: Any) -> None:
        answers.write(json.dumps({"event": event, **values}) + "\n")
        answers.flush()

    class Control:
        def report(self, *, fraction: float, last_loss: Mapping[int, float]) -> None:
            answer("progress", fraction=fraction, last_loss=list(last_loss.items()))

        def should_stop(self) -> bool:
            return stop.is_set()

    use_compilation_cache()
    try:
        store = Store.open(settings["directory"])
        workshop = Workshop(store, checkpoint_seconds=settings["checkpoint_seconds"])
        workshop.check_names()
    except VelodromeError as error:
        answer("refused", message=str(error))
        return 1
    answer("ready", pid=os.getpid())
    while (received := jobs.get()) is not None:
        job = Job(**received)
        try:
            do_job(workshop, job, Control())
        except Stopped:
            answer("stopped")
            return 0
        except BrokenPipeError:
            raise
        except Exception as error:  # told to the engine, which records it; the worker goes on
            kind, message = failure_of(error)
            unwritable = isinstance(error, WriteError)
            answer("failed", kind=kind, message=message, unwritable=unwritable)
        else:
            answer("done")
    return 0


def _read(source: TextIO, jobs: queue.Queue[dict[str, Any] | None], stop: threading.Event) -> None:
    for line in source:
        jobs.put(json.loads(line))
    stop.set()
    jobs.put(None)


def _take_stdout() -> TextIO:
    """Keeps standard output for answers, and sends what is printed to standard error."""
    kept = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return kept


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
