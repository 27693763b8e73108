"""Turn Ctrl-C and SIGTERM into a graceful stop."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from types import FrameType

#: What terminals send on Ctrl-C, and what batch systems and `kill` send.
SIGNALS = (signal.SIGINT, signal.SIGTERM)

_Handler = Callable[[int, FrameType | None], object]
_Handlers = dict[signal.Signals, _Handler | int]


@contextlib.contextmanager
def interrupts(first: Callable[[], None] = lambda: None) -> Generator[threading.Event, None, None]:
    """Set an event and call ``first`` at the first signal; a second one acts as before.

    An exception raised by a signal can be lost, as in a callback of a library; an event cannot.
    Signals keep their handlers in all threads but the main one.
    """
    event = threading.Event()
    before: _Handlers = {}

    def on_signal(number: int, frame: FrameType | None) -> None:
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
def terminated_as_interrupted() -> Generator[None, None, None]:
    """Let SIGTERM raise a KeyboardInterrupt, as Ctrl-C does."""
    before: _Handlers = {}
    try:
        _install(signal.default_int_handler, (signal.SIGTERM,), before)
        yield
    finally:
        _put_back(before)


@contextlib.contextmanager
def handlers_kept() -> Generator[None, None, None]:
    """Put back the handlers that a library replaces inside the block."""
    before: _Handlers = {}
    try:
        _install(None, SIGNALS, before)
        yield
    finally:
        _put_back(before)


def _install(
    handler: _Handler | None, signals: Sequence[signal.Signals], before: _Handlers
) -> None:
    """Handle the signals that are not ignored, and note in ``before`` who handled them."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in signals:
        old = signal.getsignal(number)
        # None: set by code in another language, which Python cannot put back.
        if old is None or old == signal.SIG_IGN:
            continue
        before[number] = old
        if handler is not None:
            signal.signal(number, handler)


def _put_back(before: _Handlers) -> None:
    for number, old in before.items():
        signal.signal(number, old)
