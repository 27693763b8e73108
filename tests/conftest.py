"""Strict settings for every test, and the few fixtures that all of them share."""

from __future__ import annotations

import os
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any, get_type_hints

import jaxtyping
import pytest
from beartype import beartype

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


# By `--jaxtyping-packages` jaxtyping checks every function of ours, and its check of a call takes
# a hundred times as long as beartype's. So beartype alone checks modules without shapes; but not
# annotations that cannot be looked up yet, which jaxtyping leaves out.
_with_shapes = jaxtyping.jaxtyped


def _jaxtyped(function: Any = None, **options: Any) -> Any:
    if not isinstance(function, FunctionType) or _has_shapes(function):
        return _with_shapes(function, **options) if function else partial(_jaxtyped, **options)
    return beartype(function)


def _has_shapes(function: FunctionType) -> bool:
    names = function.__globals__.values()
    if any(getattr(value, "__module__", None) == "jaxtyping" for value in names):
        return True
    try:
        get_type_hints(function)
    except Exception:
        return True
    return False


jaxtyping.jaxtyped = jaxtyping._decorator.jaxtyped = _jaxtyped


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
