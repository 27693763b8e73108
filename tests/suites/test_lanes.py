"""The hot loop, through `run` in this process on tasks with known curves."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toys

from optimizers.registry import OptimizerSpec, optimizers
from results.store import Store
from suites import plan as planning
from suites.batching import Batching
from suites.protocol import Protocol
from suites.run import run
from suites.suite import Suite
from taskgen.spec import DataSpec, TaskSpec


def train(suite: Suite, out) -> list:
    """Runs a suite in this process and returns its cells."""
    display = toys.Recorder()
    run(suite, out, workers=0, timing=False, progress=display)
    assert display.failures == []
    return list(Store.open(out).cells())


def vmapped(monkeypatch: pytest.MonkeyPatch, *, seeds: int, points: int) -> None:
    """Makes plans whose shards run all lanes in one program."""
    batching = Batching("vmap", seeds=seeds, points=points)
    monkeypatch.setattr(planning, "choose", lambda cost, **kwargs: batching)


@pytest.mark.parametrize("mode", ["sequential", "vmap"])
def test_evaluations_see_exactly_the_updates_before_them(tmp_path, monkeypatch, mode):
    if mode == "vmap":
        vmapped(monkeypatch, seeds=2, points=1)
    with toys.registered(counting=toys.counting()):
        (cell,) = train(toys.bowl_suite("counting", steps=25, heldout_every=10), tmp_path)
        curves, heldout = cell.curves(), cell.curves(split="heldout")
    assert curves.steps.tolist() == [0, 5, 10, 15, 20, 25]
    assert heldout.steps.tolist() == [0, 10, 20, 25]
    # The loss is the number of updates made, so this counts them.
    np.testing.assert_array_equal(curves.values, np.tile(curves.steps, (2, 1)))
    np.testing.assert_array_equal(heldout.values, np.tile(heldout.steps, (2, 1)))


@pytest.mark.parametrize("mode", ["sequential", "vmap"])
def test_divergence_is_marked_at_its_step_and_poisons_nobody(tmp_path, monkeypatch, mode):
    if mode == "vmap":
        vmapped(monkeypatch, seeds=2, points=4)
    with toys.registered(exploding=toys.exploding()):
        (cell,) = train(toys.bowl_suite("exploding", baseline="exploding"), tmp_path)
        curves = cell.curves()
    assert len(curves.lanes) == 8
    for lane, values in zip(curves.lanes, curves.values, strict=True):
        at = lane.hyperparameters["at"]
        # After the update number `at` parameters are NaN: the loss before the next update is.
        assert lane.diverged_at == (at or None)
        assert lane.status == ("diverged" if at else "ok")
        known = curves.steps < at if at else curves.steps >= 0
        np.testing.assert_array_equal(values[known], curves.steps[known])
        assert np.isnan(values[~known]).all()


def test_a_shard_whose_lanes_have_all_diverged_ends_early(tmp_path):
    doomed = dataclasses.replace(toys.exploding(), grid={"at": (3, 7)}, name="doomed")
    with toys.registered(doomed=doomed):
        (cell,) = train(toys.bowl_suite("doomed", steps=1000), tmp_path)
    assert {lane.status for lane in cell.lanes} == {"diverged"}
    assert cell.curves().steps.max() < 10
    seconds = cell.shards[0].metadata["seconds"]
    assert seconds >= 0


@pytest.mark.parametrize(
    "needs",
    [
        (),
        ("value",),
        ("grad",),
        ("value_fn", "key"),
        ("grad_fn",),
        ("value", "grad", "num_steps"),
    ],
)
def test_an_optimizer_gets_exactly_what_it_needs(tmp_path, needs):
    seen: list[set[str]] = []
    made_with: list[dict] = []

    def factory(**kwargs):
        made_with.append(kwargs)

        def update(updates, state, params=None, **extra):
            seen.append(set(extra))
            total = jnp.float32(0)
            if "value" in extra:
                total += extra["value"]
            if "grad" in extra:
                total += jnp.sum(extra["grad"]["x"])
            if "value_fn" in extra:
                total += extra["value_fn"](params) + jax.random.normal(extra["key"])
            if "grad_fn" in extra:
                total += jnp.sum(extra["grad_fn"](params)["x"])
            return jax.tree.map(lambda leaf: leaf * 0 + total, updates), state

        return optax.GradientTransformationExtraArgs(lambda params: (), update)

    needy = OptimizerSpec(name="needy", label="Needy", factory=factory, needs=frozenset(needs))
    with toys.registered(needy=needy):
        train(toys.bowl_suite("needy", baseline="needy", baseline_multiple=2, seeds=1), tmp_path)
    updates = set(needs) - {"num_steps"}
    assert seen
    assert all(extra == updates for extra in seen)
    expected = {"num_steps": 40} if "num_steps" in needs else {}
    assert all(kwargs == expected for kwargs in made_with)


def test_eval_params_are_what_is_evaluated(tmp_path):
    def doubled(opt_state, params):
        del opt_state
        return jax.tree.map(lambda leaf: 2 * leaf, params)

    with toys.registered(averaging=toys.counting(name="averaging", eval_params=doubled)):
        (cell,) = train(toys.bowl_suite("averaging"), tmp_path)
    np.testing.assert_array_equal(cell.curves().values[0], [0, 10, 20, 30, 40])


def test_fixed_evaluations_share_their_examples_and_fresh_ones_do_not(tmp_path):
    firsts = {}
    for kind in ("fixed", "fresh"):
        with toys.registered(counting=toys.counting()):
            suite = toys.bowl_suite(
                "counting", eval_batches=kind, eval_examples=64, heldout_every=5
            )
            (cell,) = train(suite, tmp_path / kind)
            firsts[kind] = cell.curves(split="heldout", metric="first").values
    assert len(np.unique(firsts["fixed"])) == 1
    assert len(np.unique(firsts["fresh"])) > firsts["fresh"].size // 2


def real_suite(optimizer: str, **protocol) -> Suite:
    spec = TaskSpec(
        family="mlp",
        config={"hidden_size": 12, "num_layers": 2, "image_size": 8},
        data=DataSpec("digits"),
        batch_size=32,
    )
    values: dict[str, Any] = {"steps": 20, "seeds": 2, "baseline_multiple": 1, "eval_every": 5}
    values.update(heldout_every=10, learning_rates=(1e-4, 1e-3, 1e-2), **protocol)
    return Suite("real", (spec,), Protocol(**values), (optimizer,))


def test_batching_modes_agree_at_first(tmp_path, monkeypatch):
    (alone,) = train(real_suite("adam"), tmp_path / "sequential")
    vmapped(monkeypatch, seeds=2, points=3)
    (together,) = train(real_suite("adam"), tmp_path / "vmap")
    one, other = alone.curves(), together.curves()
    order = np.argsort([lane.lane for lane in one.lanes])
    back = np.argsort([lane.lane for lane in other.lanes])
    np.testing.assert_allclose(one.values[order], other.values[back], rtol=1e-5)
    assert one.values[order][:, -1].min() < 0.9 * one.values[order][0, 0]


def test_a_lane_does_not_depend_on_its_neighbours(tmp_path):
    (many,) = train(real_suite("adam"), tmp_path / "many")
    suite = real_suite("adam").override(learning_rates=[1e-3])
    (one,) = train(suite, tmp_path / "one")

    def losses(cell):
        return {
            lane.seed: values.tobytes()
            for lane, values in zip(cell.curves().lanes, cell.curves().values, strict=True)
            if lane.hyperparameters["learning_rate"] == 1e-3
        }

    assert losses(many) == losses(one)


def test_optimizers_of_a_suite_meet_the_same_start_and_data(tmp_path):
    suite = dataclasses.replace(real_suite("adam"), optimizers=("adam", "sgd"))
    adam, sgd = train(suite, tmp_path)
    for seed in (0, 1):
        starts = {
            values[0]
            for cell in (adam, sgd)
            for lane, values in zip(cell.curves().lanes, cell.curves().values, strict=True)
            if lane.seed == seed
        }
        assert len(starts) == 1


def test_training_loss_mode_evaluates_as_it_trains(tmp_path):
    suite = real_suite("adam", eval_mode="training-loss")
    (cell,) = train(suite, tmp_path)
    assert np.isfinite(cell.curves().values).all()
    assert optimizers.get("adam").label == cell.label
