"""Keeps two processes out of one directory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from velodrome.foundation.errors import StoreError, WriteError

_LOCK = ".lock"


@contextlib.contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Keeps other runs out of a directory for as long as the context lasts, or this process lives.

    Args:
      directory: The directory; it is made if it is missing.

    Raises:
      StoreError: Another run is at work in it.
      WriteError: It cannot be made or written to.
    """
    lock = FileLock(directory / _LOCK, blocking=False)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise StoreError(
            f"another run is at work in {directory}. Wait for it or stop it, or choose another "
            "directory: two would do the same work and replace each other's files."
        ) from error
    except OSError as error:
        raise WriteError(
            f"cannot write to {directory}: {error.strerror or error}. Choose a directory that you "
            "may write to."
        ) from error
    try:
        yield
    finally:
        lock.release()
