"""A worker process: reads orders from standard input, answers on its standard output.

`child` starts it. Every order is a line of JSON, and so is every answer; the first line has the
settings. The end of the input means: save and stop; so a worker never outlives the process that
started it. Nothing here imports jax before the process is pinned to its cores.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import TextIO

from velodrome.foundation.interrupts import SIGNALS
from velodrome.suites.running.engines.orders import Orders

#: What batch systems send before they end a job; not every system has them.
_FROM_BATCH_SYSTEMS = [
    getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)
]


def main() -> int:
    """Run the worker until its input ends; return the exit status."""
    # They reach the starter too, which then ends our input.
    for number in (*SIGNALS, *_FROM_BATCH_SYSTEMS):
        signal.signal(number, signal.SIG_IGN)
    settings = json.loads(sys.stdin.readline() or "null")
    if settings is None:
        return 1  # the process that started this one is gone
    if settings["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, settings["cores"])
    answers = _take_stdout()
    orders = Orders()
    threading.Thread(target=orders.take, args=(sys.stdin,), daemon=True).start()
    from velodrome.suites.running.engines.serve import serve  # noqa: PLC0415 - imports jax

    try:
        return serve(settings, orders, answers)
    except BrokenPipeError:
        return 1  # the process that started this one is gone


def _take_stdout() -> TextIO:
    """Keep standard output for answers, and send what is printed to standard error."""
    kept = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return kept
