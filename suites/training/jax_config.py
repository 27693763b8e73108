"""The settings of jax that numbers depend on, and the compilation cache."""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.monitoring

from velodrome.foundation.files import writable_cache_dir

#: The counter-based generator of all keys; another one would change every curve.
PRNG = "threefry2x32"

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


#: Settings that change numbers, or end a run that would diverge, and that jax gives no context for.
_PINNED = {
    "jax_random_seed_offset": 0,
    "jax_high_dynamic_range_gumbel": False,
    "jax_use_direct_linearize": True,
    "jax_threefry_gpu_kernel_lowering": False,
    "jax_disable_most_optimizations": False,
    "jax_optimization_level": "UNKNOWN",
    "jax_exec_time_optimization_effort": 0.0,
}


@contextlib.contextmanager
def numerics() -> Iterator[None]:
    """Set what numbers depend on, whatever the process or its environment has set.

    Everything is as before afterwards.
    """
    before = {name: jax.config.values[name] for name in _PINNED if name in jax.config.values}
    with (
        jax.default_matmul_precision("highest"),
        jax.default_prng_impl(PRNG),
        jax.numpy_rank_promotion("raise"),
        jax.numpy_dtype_promotion("standard"),
        jax.threefry_partitionable(True),
        jax.softmax_custom_jvp(False),
        jax.enable_x64(False),
        jax.disable_jit(False),
        jax.debug_nans(False),
        jax.debug_infs(False),
    ):
        try:
            for name in before:
                jax.config.update(name, _PINNED[name])
            yield
        finally:
            for name, value in before.items():
                jax.config.update(name, value)


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
