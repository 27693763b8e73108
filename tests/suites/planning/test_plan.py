from __future__ import annotations

import dataclasses
import json
from functools import partial

import optax
import pytest
import toys

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import DataError, PlanError, SpecError, UnknownNameError
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.results.store.plan import DataRef, Plan
from velodrome.suites.catalog import load_suite
from velodrome.suites.planning import batching
from velodrome.suites.planning.plan import LoadedSuite, identify, make_plan, swept
from velodrome.suites.protocol import Protocol
from velodrome.suites.suite import Suite
from velodrome.suites.training.compiled_task import CompiledTask
from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

# Stands for the meaning of every stored result: ids in existing stores change with it.
GOLDEN_SMOKE_PLAN = "cc847b879fd824c7d6e00e06826010380bc208321313accb8146c88b0f8f0dda"


def spec(**config) -> TaskSpec:
    return TaskSpec(family="mlp", config=config, data=DataSpec("digits"), batch_size=16)


def test_golden_plan():
    plan = make_plan(load_suite("smoke"))
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert content_hash(plan.to_json()) == plan.hash == GOLDEN_SMOKE_PLAN


def test_every_lane_is_planned_once():
    suite = Suite("x", (spec(),), Protocol(steps=100, seeds=3), ("adam", "sgd"))
    plan = make_plan(suite)
    adam, sgd = plan.cells
    assert (adam.horizon, sgd.horizon) == (500, 100)
    for cell in (adam, sgd):
        lanes = [lane for shard in plan.shards_of(cell.id) for lane in shard.lanes]
        assert sorted(lane.lane for lane in lanes) == list(range(45))
        runs = {(lane.seed, lane.hyperparameters["learning_rate"]) for lane in lanes}
        assert runs == {
            (seed, rate)
            for seed in range(3)
            for rate in optimizers.get("adam").grid["learning_rate"]
        }


def test_ids_change_with_every_part_of_the_identity():
    task, adam = spec(), optimizers.get("adam")
    data = DataRef("d", "a", "real")
    protocol = Protocol(steps=100)
    fewer = {"learning_rate": adam.grid["learning_rate"][1:]}
    knowing = dataclasses.replace(adam, needs=frozenset({"num_steps"}))

    def id_of(task=task, data=data, optimizer=adam, protocol=protocol, horizon=500):
        return identify(task, data, optimizer, protocol, horizon)[0]

    variants = [
        id_of(),
        id_of(task=spec(hidden_size=9)),
        id_of(data=DataRef("d", "b", "real")),
        id_of(optimizer=dataclasses.replace(adam, name="other")),
        id_of(optimizer=dataclasses.replace(adam, version=2)),
        id_of(optimizer=dataclasses.replace(adam, identity={"weights": "c"})),
        id_of(protocol=Protocol(steps=100, eval_every=5)),
        id_of(protocol=Protocol(steps=100, eval_examples=64)),
        id_of(optimizer=knowing),
        id_of(optimizer=knowing, horizon=400),
    ]
    assert len(set(variants)) == len(variants)
    same = [
        id_of(optimizer=dataclasses.replace(adam, label="A.")),
        # What else is asked for is no part of a run, nor how far one goes that does not know it.
        id_of(optimizer=dataclasses.replace(adam, grid=fewer)),
        id_of(protocol=Protocol(steps=110, seeds=7, baseline_multiple=2, learning_rates=(0.5,))),
        id_of(horizon=400),
    ]
    assert set(same) == {id_of()}


def test_learning_rates_replace_those_of_the_sweep():
    adam = optimizers.get("adam")
    points = swept("adam", adam, Protocol(steps=100, learning_rates=(0.5, 0.1))).points
    assert points == [{"learning_rate": 0.5}, {"learning_rate": 0.1}]
    two = dataclasses.replace(
        adam, grid={"learning_rate": (0.1, 0.2), "b1": (0.8, 0.9)}, static=frozenset({"b1"})
    )
    points = swept("adam", two, Protocol(steps=100, learning_rates=(0.5, 0.6))).points
    rates = [(point["b1"], point["learning_rate"]) for point in points]
    assert rates == [(0.8, 0.5), (0.8, 0.6), (0.9, 0.5), (0.9, 0.6)]


def test_an_optimizer_has_a_grid_of_its_own():
    grids = {"sgdm": {"nesterov": (True, False), "learning_rate": (1, 0.5)}}
    protocol = Protocol(steps=100, seeds=1, learning_rates=(0.1,), grids=grids)
    loaded = LoadedSuite.of(Suite("x", (spec(),), protocol, ("adam", "sgdm")))
    adam, sgdm = make_plan(loaded).cells
    assert [lane.hyperparameters for lane in adam.lanes] == [{"learning_rate": 0.1}]
    points = [dict(lane.hyperparameters) for lane in sgdm.lanes]
    assert points == [
        {"nesterov": nesterov, "learning_rate": rate}
        for rate in (1.0, 0.5)
        for nesterov in (True, False)
    ]
    assert all(type(point["learning_rate"]) is float for point in points)
    # Which values a flag has decides what is compiled.
    assert loaded.optimizers["sgdm"].static == {"nesterov"}
    alone = make_plan(Suite("x", (spec(),), Protocol(steps=100), ("adam", "sgdm")))
    assert [cell.id for cell in alone.cells] == [adam.id, sgdm.id]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("adam", {"b_1": (0.9,)}, "one of the hyperparameters b1, .*; did you mean 'b1'"),
        ("adam", {"num_steps": (10,)}, "one of the hyperparameters"),
        ("adam", {"b1": ("fast",)}, "b1: got .'fast'., but it must be numbers, like .0.9."),
        ("adam", {"b1": (True, False)}, "must be numbers"),
        ("sgdm", {"nesterov": (0, 1)}, "must be true or false, like .False."),
        (
            "algoperf-nadamw",
            {"trial": (3, 6)},
            "trial: got 6, but it must be a whole number",
        ),
        (
            "nadamw_list:2",
            {"trial": (0.5,)},
            "trial: got 0.5, but it must be a whole number",
        ),
        ("counting", {"learning_rate": (0.1,)}, "it has no hyperparameters"),
        ("sgd", {"learning_rate": (0.1,)}, "one of the suite's optimizers adam, sgdm, counting"),
    ],
)
def test_a_grid_that_an_optimizer_cannot_have_is_refused(name, values, message):
    protocol = Protocol(steps=100, grids={name: values})
    names = ("adam", "sgdm", "counting", "algoperf-nadamw", "nadamw_list:2")
    with toys.registered(counting=toys.counting()), pytest.raises(SpecError, match=message):
        LoadedSuite.of(Suite("x", (spec(),), protocol, names))


def test_the_folder_of_an_optimizer_with_a_grid_does_not_count():
    def of(folder: str) -> Suite:
        name = f"{folder}/mine.py:make"
        protocol = Protocol(steps=100, grids={name: {"learning_rate": (0.1,)}})
        return Suite("x", (spec(),), protocol, ("adam", name))

    here, there = of("here"), of("there")
    assert (here.hash, here.protocol.hash) == (there.hash, there.protocol.hash)
    assert here.override(optimizers=["adam"]).protocol == Protocol(steps=100)
    grids = {"here/mine.py:make": {"b1": [0.5]}, "adam": {"b1": [0.8]}}
    assert here.override(grids=grids).protocol.grids == {
        "here/mine.py:make": {"learning_rate": [0.1], "b1": [0.5]}, "adam": {"b1": [0.8]}
    }  # fmt: skip


def test_vmap_shards_share_one_program():
    swept = dataclasses.replace(
        optimizers.get("adam"),
        name="swept",
        grid={"learning_rate": (0.1, 0.2), "b1": (0.8, 0.9)},
        static=frozenset({"b1"}),
    )
    with toys.registered(swept=swept):
        suite = Suite("x", (spec(),), Protocol(steps=100, seeds=2), ("swept",))
        plan = make_plan(suite, backend="gpu")
    assert len(plan.shards) == 2
    for shard in plan.shards:
        assert shard.mode == "vmap"
        assert len({lane.hyperparameters["b1"] for lane in shard.lanes}) == 1
        assert len(shard.lanes) == 4


def test_static_values_that_are_lists_or_equal_numbers_have_programs_of_their_own():
    swept = OptimizerSpec(
        name="swept",
        label="swept",
        factory=lambda betas, nesterov: optax.adam(1e-3, *betas, nesterov=bool(nesterov)),
        grid={"betas": ((0.9, 0.99), (0.8, 0.9)), "nesterov": (True, 1)},
        static=frozenset({"betas", "nesterov"}),
    )
    with toys.registered(swept=swept):
        suite = Suite("x", (spec(),), Protocol(steps=100, seeds=1), ("swept",))
        plan = make_plan(suite, backend="gpu")
        task = CompiledTask(suite, 0)
        read = Plan.from_json(json.loads(json.dumps(plan.to_json())))
        programs = {
            id(task.lane_batches(shard, read.cells[0], swept)[0].programs) for shard in read.shards
        }
    assert len(plan.shards) == len(programs) == 4


def test_batching_rule():
    tiny = Cost(10**6, 10**6, 10**4, 10**4, 10**4)
    small = Cost(10**8, 10**6, 10**4, 10**6, 10**4)
    large = Cost(10**12, 10**10, 10**9, 10**9, 10**9)
    choose = partial(batching.choose, batch_size=8, seeds=3, points=15, eval_examples=512)
    # All lanes of a tiny task together, once that saves more than its compilation costs.
    few, many = (choose(tiny, horizon=steps, backend="cpu") for steps in (1000, 20_000))
    assert (few.mode, few.seeds, few.points) == ("sequential", 1, 5)
    assert (many.mode, many.seeds, many.points) == ("vmap", 1, 5)
    assert choose(small, horizon=20_000, backend="cpu").mode == "sequential"
    assert choose(large, horizon=1000, backend="cpu").points == 1
    # Large steps one in a call, so that a run can be stopped between them.
    assert choose(large, horizon=1000, backend="cpu").block == 1
    assert few.block == many.block == 0
    # 64 MB of activations in 512 examples: in slices of 2 MiB; a few kilobytes: as a whole.
    assert choose(small, horizon=1000, backend="cpu").eval_slice == 32
    assert few.eval_slice == 0
    gpu = choose(tiny, horizon=1000, backend="gpu")
    assert (gpu.mode, gpu.seeds, gpu.points) == ("vmap", 3, 15)
    assert choose(large, horizon=1000, backend="gpu").points == 1


def test_what_cannot_be_planned_is_named():
    suite = Suite("x", (spec(),), Protocol(steps=100), ("adamm",))
    with pytest.raises(UnknownNameError, match="'adam'"):
        make_plan(suite)
    published = dataclasses.replace(spec(), data=DataSpec("mnist"))
    with pytest.raises((DataError, SpecError), match="mnist"):
        make_plan(Suite("x", (published,), Protocol(steps=100), ("adam",)))
    twin = dataclasses.replace(optimizers.get("adam"))
    with toys.registered(one=twin, twin=twin), pytest.raises(PlanError, match="twice"):
        protocol = Protocol(steps=100, baseline_multiple=1)
        make_plan(Suite("x", (spec(),), protocol, ("one", "twin")))
    with pytest.raises(PlanError, match="no shard 'nothing'"):
        make_plan(load_suite("smoke")).shard("nothing")
