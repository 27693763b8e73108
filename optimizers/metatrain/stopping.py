"""When a meta-training run stops early: its time is up, or somebody asked it to."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator

from velodrome.foundation.interrupts import interrupts


@contextlib.contextmanager
def stopping(max_seconds: float | None, say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether to stop, to be called wherever a run may stop.

    It returns whether ``max_seconds`` (None: no limit) have passed since the context began, and
    raises a KeyboardInterrupt after Ctrl-C or SIGTERM, so that neither comes in the middle of a
    step. A second signal does not wait.
    """
    deadline = math.inf if max_seconds is None else time.perf_counter() + max_seconds

    def announce() -> None:
        with contextlib.suppress(RuntimeError):  # the signal came while another line was printed
            say("stopping when this step is over; interrupt again to stop at once")

    with interrupts(announce) as interrupted:

        def stop() -> bool:
            if interrupted.is_set():
                raise KeyboardInterrupt
            return time.perf_counter() >= deadline

        yield stop
