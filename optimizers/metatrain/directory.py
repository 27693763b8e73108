"""The directory of a meta-training run: who may work in it, and when a run stops early."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from velodrome.foundation.errors import SpecError, StoreError
from velodrome.foundation.files import exclusive_directory
from velodrome.foundation.interrupts import interrupts

LOG = "log.jsonl"
CHECKPOINT = "checkpoint.npz"
WEIGHTS = "weights.safetensors"
CONFIG = "config.json"

#: How an error about a directory ends.
OTHERWISE = "Choose another directory, or start again with --restart (resume=False)."


@contextlib.contextmanager
def opened(out: Path, *, resume: bool, state: str) -> Iterator[None]:
    """Keep other runs out of a directory, and clear it unless the run may be resumed.

    Args:
      out: The directory; it is made if it is missing.
      resume: Whether to resume what is there.
      state: The file that a run of this kind resumes from.

    Raises:
      StoreError: Another run is at work in it, or it has weights without ``state``.
      WriteError: It cannot be written to.
    """
    with exclusive_directory(out):
        if not resume:
            for name in (LOG, CHECKPOINT, WEIGHTS):
                (out / name).unlink(missing_ok=True)
            (out / WEIGHTS).with_suffix(".json").unlink(missing_ok=True)
        if (out / WEIGHTS).exists() and not (out / state).exists():
            raise StoreError(
                f"{out} has weights, but no {state}: another kind of run made them, or an older "
                f"version, and they would be replaced. {OTHERWISE}"
            )
        yield


@contextlib.contextmanager
def stopping(max_seconds: float | None, say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether to stop, to be called wherever a run may stop.

    It returns whether ``max_seconds`` (None: no limit) have passed since the context began, and
    raises a KeyboardInterrupt after Ctrl-C or SIGTERM, so that neither comes in the middle of a
    step. A second signal does not wait.

    Raises:
      SpecError: ``max_seconds`` is negative or NaN.
    """
    if max_seconds is not None and not max_seconds >= 0:
        raise SpecError("max_seconds", max_seconds, "a number of seconds, 0 or more")
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
