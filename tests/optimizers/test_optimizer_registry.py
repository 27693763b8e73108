"""Optimizers by name, by import path, and what is refused."""

from __future__ import annotations

import functools
import hashlib
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from velodrome.foundation.errors import SpecError, UnknownNameError, VelodromeError
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import LEARNING_RATES, OptimizerSpec
from velodrome.optimizers.velo.weights.store import save_weights, weights_hash
from velodrome.optimizers.velo.weights.tree import VeLOWeights, init_weights


def test_adam_is_the_published_one():
    adam = optimizers.get("adam")
    assert adam.grid == {"learning_rate": LEARNING_RATES}
    assert len(LEARNING_RATES) == 15
    assert LEARNING_RATES[:3] == (1e-7, 3e-7, 1e-6)
    assert LEARNING_RATES[-3:] == (0.1, 0.3, 1.0)
    # A gradient far below the root of the epsilon inside the root: the first update is
    # lr * g / (sqrt(g^2 + 1e-8) + 1e-8), not lr.
    made = adam.make({"learning_rate": 0.1}, num_steps=None)
    gradient = jnp.asarray(1e-6, jnp.float32)
    update, _ = made.update(gradient, made.init(gradient), gradient)
    assert np.asarray(update) == pytest.approx(
        -0.1 * 1e-6 / ((1e-12 + 1e-8) ** 0.5 + 1e-8), rel=1e-4
    )


def test_the_rate_of_adam_with_sqrt_decay_is_the_published_one():
    """A gradient that is always the same moves a parameter by the rate."""
    made = optimizers.get("adam_sqrt_decay").make({"learning_rate": 1.0}, num_steps=None)
    gradient = jnp.ones(())
    state, rates = made.init(gradient), []
    for _ in range(4):
        update, state = made.update(gradient, state, gradient)
        rates.append(-np.asarray(update))
    np.testing.assert_allclose(rates, [0.001, 0.001, 0.002, 0.003], rtol=1e-4)


def test_points_vary_the_first_hyperparameter_slowest():
    spec = OptimizerSpec(
        name="x",
        label="x",
        factory=optax.sgd,
        grid={"a": (1, 2), "b": (3, 4)},
        traced=frozenset({"a"}),
        static=frozenset({"b"}),
    )
    assert spec.points == [{"a": 1, "b": 3}, {"a": 1, "b": 4}, {"a": 2, "b": 3}, {"a": 2, "b": 4}]


def test_num_steps_goes_to_those_who_need_it():
    def factory(num_steps: int) -> optax.GradientTransformation:
        return optax.scale(float(num_steps))

    spec = OptimizerSpec(name="x", label="x", factory=factory, needs=frozenset({"num_steps"}))
    made = spec.make({}, num_steps=7)
    one = jnp.ones(())
    assert np.asarray(made.update(one, made.init(one))[0]) == 7
    with pytest.raises(SpecError, match="num_steps"):
        spec.make({}, num_steps=None)


def test_unknown_hyperparameters_are_refused():
    with pytest.raises(SpecError, match=r"adam hyperparameters: got \['rate'\].*learning_rate"):
        optimizers.get("adam").make({"rate": 0.1}, num_steps=None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"needs": frozenset({"loss"})}, "needs: got .'loss'."),
        ({"grid": {"a": (1,)}}, "grid: got .'a'.*'traced' or in 'static'"),
        ({"grid": {"a": ()}, "traced": frozenset({"a"})}, "grid.a"),
        ({"traced": frozenset({"a"}), "static": frozenset({"a"})}, "static: got"),
        ({"identity": {"weights": object()}}, "identity"),
    ],
)
def test_specs_that_contradict_themselves_are_refused(fields, message):
    with pytest.raises(SpecError, match=message):
        OptimizerSpec(name="x", label="x", factory=optax.sgd, **fields)


def test_optax_by_import_path():
    lion = optimizers.get("optax:lion")
    assert (lion.name, lion.label) == ("optax:lion", "lion")
    assert lion.traced == {"learning_rate"}
    polyak = optimizers.get("optax:polyak_sgd")
    assert polyak.needs == {"value"}
    assert polyak.points == [{}]
    for name in ("optax:contrib.momo", "optax.contrib:momo", "optax.contrib:momo_adam"):
        assert optimizers.get(name).needs == {"value"}, name


def test_unknown_names_come_with_the_closest():
    with pytest.raises(UnknownNameError, match="no optimizer named 'adem'. Did you mean 'adam'"):
        optimizers.get("adem")
    with pytest.raises(UnknownNameError, match="Did you mean 'lion'"):
        optimizers.get("optax:lionn")
    with pytest.raises(VelodromeError, match="cannot be loaded: No module named"):
        optimizers.get("no_such_module_anywhere:adam")
    with pytest.raises(VelodromeError, match="is not an optimizer: .* found str"):
        optimizers.get("optax:__version__")


def test_a_factory_from_a_file_is_known_by_its_source(tmp_path):
    source = (
        "import optax\n"
        "def mine(learning_rate, num_steps, decay=0.9):\n"
        "    return optax.sgd(optax.cosine_decay_schedule(learning_rate, num_steps), decay)\n"
        "def odd(rate):\n"
        "    return optax.sgd(rate)\n"
    )
    path = tmp_path / "mine.py"
    path.write_text(source)
    spec = optimizers.get(f"{path}:mine")
    assert spec.needs == {"num_steps"}
    assert spec.grid == {"learning_rate": LEARNING_RATES}
    assert spec.identity == {"code": {"mine.py": hashlib.sha256(source.encode()).hexdigest()}}
    with pytest.raises(VelodromeError, match="without a default.*: rate"):
        optimizers.get(f"{path}:odd")


def test_a_user_spec_can_be_registered_for_a_while():
    spec = OptimizerSpec(name="mine", label="Mine", factory=lambda: optax.sgd(0.1))
    with optimizers.temporarily("mine", spec):
        assert optimizers.get("mine").factory is spec.factory
    with pytest.raises(UnknownNameError):
        optimizers.get("mine")


def test_velo_is_known_by_its_weights(tmp_path, key):
    path = save_weights(tmp_path / "one.safetensors", init_weights(key, 8, 4))
    spec = optimizers.get(f"velo:{path}")
    assert spec.label == "VeLO (one.safetensors)"
    assert spec.needs == {"value", "num_steps"}
    assert spec.points == [{}]
    assert spec.identity == {"weights": weights_hash(path)}
    with pytest.raises(UnknownNameError, match="velo-tine"):
        optimizers.get("velo:velo-tine")
    with pytest.raises(SpecError, match="velo:velo-tiny"):
        optimizers.get("velo:")


def test_what_is_recorded_of_weights_comes_from_the_read_that_loaded_them(
    tmp_path, key, monkeypatch
):
    one, other = (init_weights(k, 8, 4) for k in jax.random.split(key))
    path = save_weights(tmp_path / "some.safetensors", one, {"training": "first"})
    replacement = save_weights(tmp_path / "new" / "some.safetensors", other).read_bytes()
    path.with_suffix(".json").unlink()
    read_bytes, reads = Path.read_bytes, []

    def read_and_change(file: Path) -> bytes:
        data = read_bytes(file)
        if file == path:
            reads.append(file)
            path.write_bytes(replacement)
        return data

    monkeypatch.setattr(Path, "read_bytes", read_and_change)
    spec = optimizers.get(f"velo:{path}")
    assert len(reads) == 1
    assert isinstance(spec.factory, functools.partial)
    used: VeLOWeights = spec.factory.keywords["weights"]
    jax.tree.map(np.testing.assert_array_equal, used, one)
    assert spec.identity == {"weights": weights_hash(used)} != {"weights": weights_hash(other)}


def test_listing_optimizers_and_reading_weights_need_no_jax():
    program = """
import sys
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.velo.weights.store import read_weights
optimizers.names()
read_weights("velo-tiny")
optimizers.get("velo")
assert not {"jax", "optax"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
