"""Numbers do not depend on what a process, or its environment, has told jax."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np
import pytest

from velodrome.suites.training import environment
from velodrome.suites.training.train import train
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.numerics import numerics
from velodrome.taskgen.spec import TaskSpec

#: Each changes a curve, or ends a run that should diverge. Any can be an environment variable.
OTHER = {
    "jax_random_seed_offset": 3,
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_high_dynamic_range_gumbel": True,
    "jax_softmax_custom_jvp": True,
    "jax_use_direct_linearize": False,
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "allow",
    "jax_default_matmul_precision": "bfloat16",
    "jax_enable_x64": True,
    "jax_debug_nans": True,
    "jax_optimization_level": "O0",
}


@pytest.fixture
def _other_settings() -> Iterator[None]:
    before = {name: jax.config.values[name] for name in OTHER}
    for name, value in OTHER.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def losses() -> np.ndarray:
    task = TaskSpec("mlp", {"image_size": 4, "hidden_size": 8}, DataSpec("digits"), 16)
    return train(task, "adam", steps=10, learning_rate=1e-2).to_numpy()


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return losses()


def test_a_curve_does_not_depend_on_settings_of_jax(expected: np.ndarray, _other_settings):
    np.testing.assert_array_equal(losses(), expected)
    assert {name: jax.config.values[name] for name in OTHER} == OTHER  # as before


@pytest.mark.usefixtures("_other_settings")
def test_keys_are_those_without_an_offset():
    with numerics():
        inside = jax.random.key_data(jax.random.key(5))
    np.testing.assert_array_equal(inside, [0, 5])
    assert jax.random.key_data(jax.random.key(5)).shape == (4,)  # the process has its own again


def test_compiler_flags_are_recorded(monkeypatch: pytest.MonkeyPatch):
    environment.device_description.cache_clear()
    for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "NVIDIA_TF32_OVERRIDE"):
        monkeypatch.delenv(name, raising=False)
    assert "flags" not in environment.device_description()
    environment.device_description.cache_clear()
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    flags = environment.device_description()["flags"]
    assert flags == "XLA_FLAGS=--xla_cpu_enable_fast_math=true NVIDIA_TF32_OVERRIDE=1"
    environment.device_description.cache_clear()
