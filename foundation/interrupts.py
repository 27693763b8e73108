"""Ctrl-C and SIGTERM as a wish to stop, so that what was done can be saved first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

#: What terminals send on Ctrl-C, and what batch systems and `kill` send.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def interrupts(first: Callable[[], None] = lambda: None) -> Iterator[threading.Event]:
    """Turns the first Ctrl-C or SIGTERM into an event; a second does what it did before.

    An exception raised by a signal can be lost, such as in a callback of a library; an event
    cannot. In other threads than the main one signals stay what they are.

    Args:
      first: Called at the first signal.
    """
    event = threading.Event()

    def on_signal(number: int, frame: Any) -> None:
        del number, frame
        event.set()
        restore()
        first()

    with _handlers(on_signal) as restore:
        yield event


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Lets SIGTERM raise a KeyboardInterrupt, as Ctrl-C does."""
    with _handlers(signal.default_int_handler, (signal.SIGTERM,)):
        yield


@contextlib.contextmanager
def _handlers(
    handler: Callable[[int, Any], Any], signals: tuple[signal.Signals, ...] = SIGNALS
) -> Iterator[Callable[[], None]]:
    """Handles signals, but those that are ignored; yields what puts the old handlers back."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    # None: set by another language, and not ours to put back.
    before = {
        number: old
        for number in signals
        if (old := signal.getsignal(number)) not in (None, signal.SIG_IGN)
    }

    def restore() -> None:
        for number, old in before.items():
            signal.signal(number, old)

    for number in before:
        signal.signal(number, handler)
    try:
        yield restore
    finally:
        restore()
