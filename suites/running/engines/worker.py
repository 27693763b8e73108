"""A worker process: takes jobs from its standard input, answers on its standard output.

`child` starts it. Lines of JSON go both ways; the first one has the settings. The end of the
input means: save and stop; so a worker never outlives the process that started it. Nothing here
imports jax before the process is pinned to its cores.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from typing import Any, TextIO

from velodrome.foundation.interrupts import SIGNALS


def main() -> int:
    """Run the worker until its input ends; return the exit status."""
    for number in SIGNALS:  # they reach the starter too, which then ends our input
        signal.signal(number, signal.SIG_IGN)
    settings = json.loads(sys.stdin.readline() or "null")
    if settings is None:
        return 1  # the process that started this one is gone
    if settings["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, settings["cores"])
    answers = _take_stdout()
    stop = threading.Event()
    jobs: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=_read, args=(sys.stdin, jobs, stop), daemon=True).start()
    from velodrome.suites.running.engines.serve import serve  # noqa: PLC0415 - imports jax

    try:
        return serve(settings, jobs, stop, answers)
    except BrokenPipeError:
        return 1  # the process that started this one is gone


def _read(source: TextIO, jobs: queue.Queue[dict[str, Any] | None], stop: threading.Event) -> None:
    for line in source:
        jobs.put(json.loads(line))
    stop.set()
    jobs.put(None)


def _take_stdout() -> TextIO:
    """Keep standard output for answers, and send what is printed to standard error."""
    kept = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return kept
