"""The settings of jax that numbers depend on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax

#: The counter-based generator of all keys; another one would change every curve.
PRNG = "threefry2x32"

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
