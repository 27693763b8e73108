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

import velodrome
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.results.store.plan import Batching
from velodrome.results.store.store import Store
from velodrome.suites.planning import plan as planning
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.run import run
from velodrome.suites.suite import Suite
from velodrome.suites.training.rng import EVAL_SEED, Stream, key_of
from velodrome.suites.training.taskdata import TaskData
from velodrome.taskgen.build import open_source
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.registry import families
from velodrome.taskgen.spec import TaskSpec


def train(suite: Suite, out) -> list:
    """Run a suite in this process and return its cells."""
    display = toys.Recorder()
    run(suite, out, workers=0, timing=False, progress=display)
    assert display.failures == []
    return list(Store.open(out).cells())


def vmapped(monkeypatch: pytest.MonkeyPatch, *, seeds: int, points: int) -> None:
    """Make plans whose shards run all lanes in one program."""
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
        (cell,) = train(toys.bowl_suite("exploding"), tmp_path)
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


def test_a_shard_whose_lanes_have_all_diverged_ends_early(tmp_path, monkeypatch):
    trained = []
    block = TaskData.training_block

    def noted(data: TaskData, seed: int, start: int, *rest: int) -> Any:
        trained.append(start)
        return block(data, seed, start, *rest)

    monkeypatch.setattr(TaskData, "training_block", noted)
    doomed = dataclasses.replace(toys.exploding(), grid={"at": (3, 7)}, name="doomed")
    with toys.registered(doomed=doomed):
        (cell,) = train(toys.bowl_suite("doomed", steps=1000), tmp_path)
    assert [lane.diverged_at for lane in cell.lanes] == [3, 7, 3, 7]
    assert cell.curves().steps.tolist() == [0, 5]
    # Both have diverged after two intervals of 5 steps, and marks are at most one and two apart.
    assert set(trained) <= {0, 5, 10}


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
        train(toys.bowl_suite("needy", baseline_multiple=2, seeds=1), tmp_path)
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


def seeds_and_values(cell: Any, split: str = "train") -> list[tuple[int, np.ndarray]]:
    curves = cell.curves(split=split)
    return [(lane.seed, values) for lane, values in zip(curves.lanes, curves.values, strict=True)]


@pytest.mark.parametrize("mode", ["sequential", "vmap"])
def test_evaluation_modes_use_the_model_as_it_is_used_or_as_it_is_trained(
    tmp_path, monkeypatch, mode
):
    """A task whose loss is the updates made, plus what only one of the two modes adds.

    In evaluation it adds 1000 times the number of training steps that its state has seen: an
    evaluation changes no state. In training it adds the variance of the batch's labels, all 64 of
    them though an evaluation of a task of this size goes in slices of 32, and noise from the key.
    """
    if mode == "vmap":
        vmapped(monkeypatch, seeds=2, points=1)
    found = {}
    for eval_mode in ("eval", "training-loss"):
        with (
            toys.registered(counting=toys.counting(), other=toys.counting(name="other")),
            families.temporarily("moody", toys.moody()),
        ):
            spec = TaskSpec(family="moody", config={}, data=DataSpec("digits"), batch_size=8)
            suite = dataclasses.replace(
                toys.bowl_suite("counting", "other", eval_mode=eval_mode, eval_examples=64),
                tasks=(spec,),
            )
            found[eval_mode] = train(suite, tmp_path / eval_mode)
            source = open_source(spec, "train")
    steps = np.arange(0, 21, 5)
    for cell in found["eval"]:
        for _, values in seeds_and_values(cell):
            np.testing.assert_array_equal(values, steps + 1000 * steps)
    rows = source.indices(EVAL_SEED, 0, 1, 64)[0]
    labels = np.asarray(source.gather(source.arrays, rows, None, augment=False)["label"])
    whole, sliced = np.var(labels), np.mean([np.var(labels[:32]), np.var(labels[32:])])
    assert abs(whole - sliced) > 1e-3
    first, second = (dict(seeds_and_values(cell)) for cell in found["training-loss"])
    for seed, values in first.items():
        np.testing.assert_array_equal(values, second[seed])  # every optimizer meets the same noise
        noise = [float(toys.noise(key_of(seed, Stream.EVAL, int(step)))) for step in steps]
        np.testing.assert_allclose(values, steps + whole + noise, rtol=1e-5)
        assert len(set(noise)) == len(steps)
    assert not np.array_equal(first[0], first[1])


def small_transformer(**config: Any) -> TaskSpec:
    sizes = {"d_model_per_head": 4, "num_heads": 2, "key_size": 3, "num_layers": 1}
    sizes.update(sequence_length=6, vocab_size=21)
    return TaskSpec("transformer", {**sizes, **config}, DataSpec("kjv"), 4)


@pytest.mark.long
def test_dropout_is_on_in_training_loss_mode_and_off_in_evaluation(tmp_path):
    spec = small_transformer(dropout=0.5)
    task, first = velodrome.build(spec), {}
    for eval_mode in ("eval", "training-loss"):
        protocol = Protocol(
            steps=5,
            seeds=1,
            eval_every=5,
            heldout_every=5,
            eval_examples=16,
            eval_mode=eval_mode,
            learning_rates=(0.1,),
        )
        (cell,) = train(Suite("dropout", (spec,), protocol, ("sgd",)), tmp_path / eval_mode)
        (first[eval_mode],) = {values[0] for _, values in seeds_and_values(cell)}
    source = open_source(spec, "train")
    rows = source.indices(EVAL_SEED, 0, 1, 16)[0]
    batch = source.gather(source.arrays, rows, key_of(EVAL_SEED, Stream.EVAL), augment=False)
    params, state = task.init(key_of(0, Stream.INIT))
    for eval_mode, training in (("eval", False), ("training-loss", True)):
        loss, _ = task.loss(params, state, key_of(0, Stream.EVAL, 0), batch, train=training)
        np.testing.assert_allclose(first[eval_mode], loss, rtol=1e-5)
    assert abs(first["eval"] - first["training-loss"]) > 1e-3 * first["eval"]
