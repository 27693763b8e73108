from __future__ import annotations

from typing import Any

import jax
import numpy as np
import optax
import optax.contrib
import pytest
import toys

import velodrome
from velodrome.foundation.errors import SpecError, UnknownNameError, VelodromeError
from velodrome.results.store.store import Store
from velodrome.suites.planning.spread import Spread
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.run import run
from velodrome.suites.suite import Suite
from velodrome.suites.training import train as train_module
from velodrome.suites.training.compiled_task import CompiledTask
from velodrome.suites.training.train import _optimizer_spec, _task_spec, train
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.sampler import sample
from velodrome.taskgen.spec import TaskSpec


def spec():
    return sample(1, seed=3, family="mlp", data="built-in", max_mflop=1)[0]


def test_the_numbers_are_those_of_a_suite(tmp_path):
    protocol = Protocol(
        steps=20, seeds=2, baseline_multiple=1, heldout_every=50, learning_rates=(1e-2,)
    )
    run(Suite("one", (spec(),), protocol, ("adam",)), tmp_path, workers=0, timing=False)
    (cell,) = Store.open(tmp_path).cells()
    curve = train(spec(), "adam", steps=20, seed=1, learning_rate=1e-2)
    stored = cell.curves(split="train", metric="loss")
    (row,) = [at for at, lane in enumerate(stored.lanes) if lane.seed == 1]
    np.testing.assert_array_equal(curve.index, stored.steps)
    np.testing.assert_array_equal(curve["train loss"].to_numpy(np.float32), stored.values[row])


@pytest.mark.skipif(jax.local_device_count() < 2, reason="needs two devices")
def test_on_two_devices_the_curve_is_that_of_one(monkeypatch):
    wide = TaskSpec("mlp", {"hidden_size": 1024, "num_layers": 1}, DataSpec("digits"), 32)
    made = []

    def compiled(*args, **options):
        made.append(CompiledTask(*args, **options))
        return made[-1]

    monkeypatch.setattr(train_module, "CompiledTask", compiled)
    wanted = train(wide, optax.sgd(0.1), steps=10, eval_every=5)
    for devices, sharding in ((2, "data"), ("all", None)):
        curve = train(
            wide, optax.sgd(0.1), steps=10, eval_every=5, devices=devices, sharding=sharding
        )
        np.testing.assert_allclose(curve, wanted, rtol=1e-5)
    two = jax.local_device_count()
    spreads = [None if task.placement is None else task.placement.spread for task in made]
    assert spreads == [None, Spread(2, "data"), Spread(two, "full")]
    batch = made[1].data.training_block(0, 0, 1, 1)
    assert all(len(leaf.sharding.device_set) == 2 for leaf in batch.values())


def test_devices_are_checked_as_those_of_a_run():
    for problem, given in {
        "give devices": {"sharding": "data"},
        "devices: got 0": {"devices": 0},
        "sharding: got 'half'": {"devices": 1, "sharding": "half"},
        "cannot share evenly": {"devices": 3},
        "jax finds": {"devices": 32},
    }.items():
        task = TaskSpec("mlp", {}, DataSpec("digits"), 32)
        with pytest.raises(VelodromeError, match=problem):
            train(task, "adam", steps=10, learning_rate=1e-3, **given)


def test_takes_any_optax_optimizer_and_gives_it_the_loss():
    seen = []

    def update(updates, state, params=None, *, value: Any = None, **extra: Any):
        del params
        seen.append((value.shape, sorted(extra)))
        return jax.tree.map(lambda grad: -0.1 * grad, updates), state

    optimizer = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    curve = train(spec(), optimizer, steps=40)
    assert seen == [((), [])]  # traced once
    assert curve["train loss"].iloc[-1] < 0.9 * curve["train loss"].iloc[0]
    assert list(curve.index) == [0, 10, 20, 30, 40]
    assert curve["heldout accuracy"].notna().tolist() == [True, False, False, False, True]


def test_schedule_free_has_one_curve_however_it_is_given(tmp_path):
    """Given as an object, inside a user's factory, and by either path: as by its own name."""
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import optax, optax.contrib\n"
        "def free(learning_rate):\n"
        "    return optax.chain(optax.contrib.schedule_free_adamw(learning_rate))\n"
    )
    expected = train(spec(), "schedule_free_adamw", steps=20, learning_rate=1e-2)
    for name in (f"{mine}:free", "optax.contrib:schedule_free_adamw"):
        curve = train(spec(), name, steps=20, learning_rate=1e-2)
        np.testing.assert_allclose(curve["train loss"], expected["train loss"], rtol=1e-5)
    given = train(spec(), optax.contrib.schedule_free_adamw(1e-2), steps=20)
    np.testing.assert_allclose(given["train loss"], expected["train loss"], rtol=1e-5)


def test_what_an_update_cannot_do_without_is_given():
    curve = train(spec(), optax.lbfgs(), steps=10)
    assert curve["train loss"].iloc[-1] < curve["train loss"].iloc[0]
    given = _optimizer_spec(optax.lbfgs(), None, {})
    assert given.needs == {"value", "grad", "value_fn"}
    assert _optimizer_spec(optax.adam(1e-3), None, {}).needs == {"value"}


def test_every_keyword_of_a_named_optimizer_can_be_given():
    options = {"learning_rate": 1e-2, "weight_decay": 0.5, "nesterov": True}
    named = train(spec(), "adamw", steps=20, **options)
    made = optax.adamw(1e-2, b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.5, nesterov=True)
    np.testing.assert_allclose(named, train(spec(), made, steps=20), rtol=1e-4)


def test_a_diverged_run_ends_at_its_divergence_and_is_told():
    with pytest.warns(UserWarning, match=r"the run diverged at step \d+ of 40: its loss is no lon"):
        curve = train(spec(), optax.sgd(1e30), steps=40)
    assert np.isfinite(curve["train loss"]).all()
    assert len(curve) < 5


def test_a_run_that_is_too_long_for_its_weights_is_told():
    brief = toys.counting(name="brief", most_steps=9)
    told = "fail in runs of more than 9 steps, and this one has 10"
    with toys.registered(brief=brief), pytest.warns(UserWarning, match=told):
        train(spec(), "brief", steps=10)


def test_unknown_hyperparameters_are_named():
    with pytest.raises(SpecError, match="learning_rat"):
        train(spec(), "adam", steps=10, learning_rat=1.0)


def test_a_missing_hyperparameter_is_named():
    message = "adam learning_rate: got None, but it must be given, such"
    with pytest.raises(SpecError, match=message):
        train(spec(), "adam", steps=10)


@pytest.mark.parametrize(
    ("optimizer", "options", "message"),
    [
        (optax.adam, {}, r"call adam first, as in adam\(1e-3\)"),
        (velodrome.velo, {}, r"call velo first, as in velo\(num_steps=1000\)"),
        (optax.lbfgs, {}, r"call lbfgs first, as in lbfgs\(1e-3\)"),
        (3, {}, "optimizer: got 3, but it must be an optax transformation, or the name of an opt"),
        (optax.sgd(0.1), {"learning_rate": 1.0}, r"hyperparameters: got \['learning_rate'\], but"),
    ],
)
def test_what_is_no_optimizer_is_told(optimizer: Any, options: dict[str, Any], message: str):
    with pytest.raises(SpecError, match=message):
        _optimizer_spec(optimizer, (), options)
    with pytest.raises(UnknownNameError, match="Did you mean 'adam'"):
        train(spec(), "adma", steps=10)


def test_what_is_no_task_is_told():
    with pytest.raises(SpecError, match="task: got 'mlp', but it must be a velodrome.Task or a"):
        _task_spec("mlp")
