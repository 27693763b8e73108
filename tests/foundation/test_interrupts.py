"""Ctrl-C and SIGTERM as graceful stops."""

from __future__ import annotations

import signal
import threading

import pytest

from velodrome.foundation.interrupts import (
    SIGNALS,
    handlers_kept,
    interrupts,
    terminated_as_interrupted,
)


@pytest.fixture
def _heeds_sigint():
    """Pytest in the background of a script ignores Ctrl-C from the start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_heeds_sigint")
@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_a_wish_and_the_second_an_order(number):
    noted = []
    before = [signal.getsignal(known) for known in SIGNALS]
    with terminated_as_interrupted(), interrupts(lambda: noted.append("stopping")) as interrupted:
        assert not interrupted.is_set()
        signal.raise_signal(number)
        assert interrupted.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert noted == ["stopping"]
    assert [signal.getsignal(known) for known in SIGNALS] == before


def test_what_is_ignored_stays_ignored():
    # As a shell does for what it runs in the background.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts() as interrupted:
            signal.raise_signal(signal.SIGINT)
            assert not interrupted.is_set()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_heeds_sigint")
def test_what_a_library_installs_can_be_put_back():
    before = [signal.getsignal(known) for known in SIGNALS]
    with handlers_kept():
        for known in SIGNALS:
            signal.signal(known, lambda number, frame: None)
    assert [signal.getsignal(known) for known in SIGNALS] == before


def test_another_thread_leaves_signals_alone():
    found = []

    def look() -> None:
        before = signal.getsignal(signal.SIGTERM)
        with interrupts() as interrupted, terminated_as_interrupted():
            found.append(signal.getsignal(signal.SIGTERM) == before)
            found.append(not interrupted.is_set())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [True, True]
