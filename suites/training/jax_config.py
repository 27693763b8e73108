"""The settings of jax that numbers depend on, and the compilation cache."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import jax
import jax.monitoring

from velodrome.foundation.files import writable_cache_dir

#: The counter-based generator of all keys; another one would change every curve.
PRNG = "threefry2x32"

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
        jax.config.update("jax_compilation_cache_dir", str(writable_cache_dir("xla")))
        # Worth keeping from a tenth of a second on: there are many small programs.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
