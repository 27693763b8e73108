"""Strict settings for every test, and the few fixtures that all of them share."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import pytest

# Before jax is imported anywhere: the CPU, with two devices, so that sharding is tested; and a
# compiler that optimises little, because most of the time of the tests is compiling: these flags
# make it three times shorter, and move numbers only by rounding.
_FLAGS = [
    "--xla_force_host_platform_device_count=2",
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_parallel_codegen_split_count=1",
]
if version("jaxlib").startswith("0.10."):
    # Later versions do not know this flag, and a process with an unknown flag is killed.
    _FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", " ".join(_FLAGS))
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory):
    """Keep the user's cache out of the tests, and let the tests share one of theirs."""
    before = os.environ.get("VELODROME_CACHE")
    os.environ["VELODROME_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield Path(os.environ["VELODROME_CACHE"])
    if before is None:
        del os.environ["VELODROME_CACHE"]
    else:
        os.environ["VELODROME_CACHE"] = before


@pytest.fixture(scope="session", autouse=True)
def _strict_jax():
    """Arrays of different rank never broadcast by accident; products are exact float32."""
    import jax

    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_default_matmul_precision", "highest")


@pytest.fixture
def strict_dtypes():
    """Make mixed dtypes an error, for tests of code that is wholly ours."""
    import jax

    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture
def key():
    """A PRNG key, so that no test writes its own."""
    import jax

    return jax.random.key(20221117)
