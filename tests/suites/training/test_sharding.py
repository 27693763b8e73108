"""Lanes on several devices: the tests' processes have two, see tests/conftest.py."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import pytest
import toys

from velodrome.foundation.errors import StoreError
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.suites.protocol import Protocol
from velodrome.suites.suite import Suite
from velodrome.suites.training import checkpoint, lane_batch, lanes
from velodrome.suites.training.compiled_task import CompiledTask
from velodrome.suites.training.lanes import LaneLoop
from velodrome.suites.training.sharding import Layout, choose_layout, split_evenly
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.numerics import numerics
from velodrome.taskgen.spec import TaskSpec

pytestmark = pytest.mark.skipif(jax.local_device_count() < 2, reason="needs two devices")

STEPS = 20


@pytest.mark.parametrize(
    ("seeds", "points", "devices", "expected"),
    [
        (3, 16, 2, (1, 2, 16)),
        (1, 15, 2, (1, 2, 16)),
        (2, 15, 2, (0, 2, 2)),  # the seeds divide, so no lane is wasted
        (3, 1, 2, (0, 2, 4)),
        (1, 5, 8, (1, 5, 5)),
        (1, 9, 8, (1, 5, 10)),  # two lanes a device: eight are no faster than five
        (3, 15, 8, (1, 8, 16)),
    ],
)
def test_the_axis_is_split_that_leaves_the_fewest_lanes_to_one_device(
    seeds, points, devices, expected
):
    assert split_evenly(seeds, points, devices=devices) == expected


def test_one_lane_or_one_device_is_not_split():
    assert choose_layout(1, 1) == Layout(1, 1)
    assert choose_layout(1, 3).points == 4
    with jax.default_device(jax.local_devices()[0]):
        assert choose_layout(3, 15) == Layout(3, 15)


@functools.cache
def compiled() -> CompiledTask:
    """One for all tests, so that programs are compiled once."""
    spec = TaskSpec(
        family="mlp",
        config={"hidden_size": 12, "num_layers": 1, "image_size": 8},
        data=DataSpec("digits"),
        batch_size=32,
    )
    protocol = Protocol(steps=STEPS, eval_every=5, heldout_every=10)
    return CompiledTask(Suite("sharded", (spec,), protocol), 0)


def loop_of(optimizer: OptimizerSpec, *, seeds: int, points: int, steps: int = STEPS) -> LaneLoop:
    numbers = list(range(seeds * points))
    lane_batch = compiled().lane_batch(
        optimizer, steps, list(range(seeds)), optimizer.points[-points:], numbers, vmap=True
    )
    return LaneLoop(compiled().data, [lane_batch], horizon=steps)


def curves(loop: LaneLoop) -> dict[str, np.ndarray]:
    return loop.buffer.columns(loop.diverged_at())


def devices_of(loop: LaneLoop) -> list[set[Any]]:
    (lane_batch,) = loop.lane_batches
    return [leaf.sharding.device_set for leaf in jax.tree.leaves(lane_batch.state)]


def on_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_batch, "choose_layout", Layout)


@pytest.mark.parametrize(
    ("name", "seeds", "points"),
    [
        ("adam", 1, 3),  # one lane fills up
        ("adam", 2, 3),  # over the seeds
        pytest.param("velo", 2, 1, marks=pytest.mark.long),
    ],
)
def test_lanes_are_spread_over_devices_and_give_the_same_curves(monkeypatch, name, seeds, points):
    optimizer = optimizers.get(name)
    with numerics():
        spread = loop_of(optimizer, seeds=seeds, points=points)
        seen: list[set[Any]] = []

        def look(loop: LaneLoop) -> bool:
            seen.extend(devices_of(loop))
            return True

        assert spread.run(look)
        with monkeypatch.context() as patch:
            on_one_device(patch)
            alone = loop_of(optimizer, seeds=seeds, points=points)
            assert alone.run(lambda _: True)
    assert seen and all(found == set(jax.local_devices()[:2]) for found in seen)
    assert all(len(found) == 1 for found in devices_of(alone))
    together, single = curves(spread), curves(alone)
    assert set(together["lane"].tolist()) == set(range(seeds * points))
    for column in ("lane", "step", "split", "metric"):
        np.testing.assert_array_equal(together[column], single[column])
    loss = together["metric"] == "loss"
    np.testing.assert_allclose(together["value"][loss], single["value"][loss], rtol=1e-5)


def test_each_device_holds_its_own_lanes_only():
    with numerics():
        loop = loop_of(toys.counting(), seeds=2, points=1)
        loop.run(lambda _: True)
    (lane_batch,) = loop.lane_batches
    for leaf in jax.tree.leaves(lane_batch.state):
        assert [shard.data.shape[0] for shard in leaf.addressable_shards] == [1, 1]


def test_lanes_that_fill_up_say_nothing():
    """Three lanes on two devices get a fourth, a copy of the last: nothing reports its end."""
    optimizer = dataclasses.replace(toys.exploding(), grid={"at": (0, 12, 7)})
    with numerics():
        loop = loop_of(optimizer, seeds=1, points=3)
        assert loop.lane_batches[0].numbers.tolist() == [0, 1, 2, -1]
        loop.run(lambda _: True)
        assert loop.diverged_at() == {1: 12, 2: 7}
        assert set(loop.buffer.last_loss) == {0, 1, 2}
        doomed = dataclasses.replace(optimizer, grid={"at": (3, 4, 2)})
        loop = loop_of(doomed, seeds=1, points=3, steps=1000)
        loop.run(lambda _: True)
    assert loop.step < 100  # it ends when all three have diverged
    assert loop.diverged_at() == {0: 3, 1: 4, 2: 2}


def test_a_checkpoint_of_spread_lanes_goes_on_bit_for_bit(tmp_path, monkeypatch):
    path, optimizer = tmp_path / "state.npz", optimizers.get("adam")
    monkeypatch.setattr(lanes, "MARK_SECONDS", 0.0)  # a mark after every interval
    with numerics():
        whole = loop_of(optimizer, seeds=1, points=3)
        whole.run(lambda _: True)
        begun = loop_of(optimizer, seeds=1, points=3)
        assert not begun.run(lambda loop: loop.step < 10)
        begun.save(path, {})
        rest = loop_of(optimizer, seeds=1, points=3)
        meta = checkpoint.load_meta(path)
        assert meta is not None
        rest.restore(path, meta)
        assert 0 < rest.step < STEPS
        assert all(len(found) == 2 for found in devices_of(rest))
        rest.run(lambda _: True)
        expected, found = curves(whole), curves(rest)
        for name, column in expected.items():
            np.testing.assert_array_equal(found[name], column)
        # Where the lanes lie otherwise it is of no use, and says so: the shard starts again.
        on_one_device(monkeypatch)
        with pytest.raises(StoreError, match="holds another state"):
            loop_of(optimizer, seeds=1, points=3).restore(path, meta)
