"""Standard streams that may be closed, missing, full, or too narrow."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from pathlib import Path
from typing import TextIO

#: Columns under which nothing can be laid out.
NARROWEST = 40


def prepare_streams() -> None:
    """Make the standard streams of this process usable, whatever started it.

    What is closed or missing becomes the null device, so that no file of ours takes its number.
    Characters that an encoding lacks are written as escapes. Layouts have some columns.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    null = Path(os.devnull)
    sys.stdin = sys.stdin or null.open(encoding="utf-8")
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, null.open("w", encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    if shutil.get_terminal_size().columns < NARROWEST:
        os.environ["COLUMNS"] = str(NARROWEST)


def drop_output() -> None:
    """Forget what a stream cannot take, so that Python does not try again as it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)


def is_terminal(stream: io.TextIOBase | TextIO | None) -> bool:
    """Return whether there is such a stream, and it shows on a terminal."""
    return stream is not None and not stream.closed and stream.isatty()
