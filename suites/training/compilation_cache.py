"""Compiled programs that are kept on disk."""

from __future__ import annotations

import os

import jax
import jax.monitoring

from velodrome.foundation.files import writable_cache_dir

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
        jax.config.update("jax_compilation_cache_dir", str(writable_cache_dir("xla")))
        # Worth keeping from a tenth of a second on: there are many small programs.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
