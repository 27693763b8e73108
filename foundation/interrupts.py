"""Ctrl-C and SIGTERM as a wish to stop, so that what was done can be saved first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    before: dict[signal.Signals, Any] = {}

    def on_signal(number: int, frame: Any) -> None:
        del number, frame
        event.set()
        _put_back(before)
        first()

    try:
        _install(on_signal, SIGNALS, before)
        yield event
    finally:
        _put_back(before)


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Lets SIGTERM raise a KeyboardInterrupt, as Ctrl-C does."""
    before: dict[signal.Signals, Any] = {}
    try:
        _install(signal.default_int_handler, (signal.SIGTERM,), before)
        yield
    finally:
        _put_back(before)


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """Puts the handlers of signals back that a library has replaced in the block."""
    before: dict[signal.Signals, Any] = {}
    try:
        _install(None, SIGNALS, before)
        yield
    finally:
        _put_back(before)


def _install(
    handler: Callable[[int, Any], Any] | None,
    signals: Sequence[signal.Signals],
    before: dict[signal.Signals, Any],
) -> None:
    """Handles signals, but those that are ignored, and notes the handlers of ``before``."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in signals:
        old = signal.getsignal(number)
        # None: set by another language, and not ours to put back.
        if old is None or old == signal.SIG_IGN:
            continue
        before[number] = old
        if handler is not None:
            signal.signal(number, handler)


def _put_back(before: Mapping[signal.Signals, Any]) -> None:
    for number, old in before.items():
        signal.signal(number, old)
