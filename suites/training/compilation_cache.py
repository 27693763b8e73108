"""Compiled programs that are kept on disk."""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from pathlib import Path

import jax
import jax.monitoring

from velodrome.foundation.files import writable_cache_dir

#: Seconds within which a file may still be being written.
_BEING_WRITTEN = 5.0
_ZSTANDARD = b"\x28\xb5\x2f\xfd"

_hits = 0


def _count_hits(event: str, **_: object) -> None:
    global _hits
    _hits += event == "/jax/compilation_cache/cache_hits"


jax.monitoring.register_event_listener(_count_hits)


def cache_hits() -> int:
    """Return how many programs this process has found in the compilation cache."""
    return _hits


def use_compilation_cache() -> None:
    """Keep compiled programs on disk, unless the process has chosen a place for them.

    Call it before the first program is compiled. ``VELODROME_COMPILATION_CACHE=off`` leaves the
    cache alone.

    Raises:
      WriteError: The cache directory cannot be written to.
    """
    if os.environ.get("VELODROME_COMPILATION_CACHE") == "off":
        return
    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        directory = writable_cache_dir("xla")
        _drop_damaged(directory)
        jax.config.update("jax_compilation_cache_dir", str(directory))
        # Worth keeping from a tenth of a second on: there are many small programs.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def _drop_damaged(directory: Path) -> None:
    """Delete the programs that a killed process or a full disk cut short.

    jax warns of them at each use and never replaces them. Only what is new since the last look is
    read, and nothing that another process may be writing now.
    """
    marker, now = directory / ".checked", time.time()
    checked = marker.stat().st_mtime if marker.exists() else 0.0
    with contextlib.suppress(OSError):  # another process may delete the same ones
        for path in directory.glob("*-cache"):
            if checked < path.stat().st_mtime < now - _BEING_WRITTEN and not _is_whole(path):
                path.unlink(missing_ok=True)
        marker.touch()
        os.utime(marker, (now - _BEING_WRITTEN, now - _BEING_WRITTEN))


def _is_whole(path: Path) -> bool:
    data = path.read_bytes()
    if data.startswith(_ZSTANDARD):
        return True  # jax writes these where zstandard is installed; they have no checksum
    try:
        zlib.decompress(data)
    except zlib.error:
        return False
    return True
