"""A store grows: only what a question adds is trained, with the bits of asking it at once."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import toys

from velodrome.results.report.data import collect
from velodrome.results.store.store import Store
from velodrome.suites.planning import batching
from velodrome.suites.planning.plan import LoadedSuite, make_plan
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.run import RunResult, run
from velodrome.suites.running.store_setup import extended, open_store
from velodrome.suites.suite import Suite
from velodrome.suites.training.shard import ShardRunner, Stopped
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.functions import TaskFunctions
from velodrome.taskgen.registry import families
from velodrome.taskgen.spec import TaskSpec


def ask(suite: Suite, out: Path, **options: Any) -> RunResult:
    return run(suite, out, workers=0, timing=False, progress="silent", **options)


def curves(directory: Path) -> dict[tuple[object, ...], bytes]:
    """The bits of every curve of a store's last question, and what became of the run."""
    found: dict[tuple[object, ...], bytes] = {}
    for cell in Store.open(directory).cells():
        for split in ("train", "heldout"):
            read = cell.curves(split=split)
            for lane, values in zip(read.lanes, read.values, strict=True):
                key = cell.task.label, cell.name, lane.run, split, lane.diverged_at
                found[key] = read.steps.tobytes() + values.tobytes()
    return found


def trained(directory: Path) -> dict[str, int]:
    """Updates that each shard of a store stands for."""
    return {
        shard.id: (shard.stop - shard.begin) * len(shard.lanes)
        for shard in Store.open(directory).shards()
    }


def tables(directory: Path) -> dict[str, str]:
    """All tables of a report but those that say where and when each run was computed."""
    data = collect(Store.open(directory))
    left_out = ("provenance", "overhead")
    return {name: table.to_csv() for name, table in data.saved_tables() if name not in left_out}


def grown(rng: random.Random, asked: dict[str, Any]) -> dict[str, Any]:
    """Return a question that asks for more in one or two respects."""
    more = dict(asked)
    for _ in range(rng.choice((1, 1, 2))):
        what = rng.choice(("steps", "seeds", "multiple", "optimizers", "tasks", "rates"))
        if what == "steps":
            # 15 and 25 end between two evaluations of the held-out split.
            more["steps"] = rng.choice([n for n in (10, 15, 20, 25, 30) if n >= asked["steps"]])
        elif what == "seeds":
            more["seeds"] = min(4, asked["seeds"] + 1)
        elif what == "multiple":
            more["multiple"] = min(3, asked["multiple"] + 1)
        elif what == "optimizers":
            more["optimizers"] = list(dict.fromkeys([*asked["optimizers"], "swept", "knowing"]))
        elif what == "tasks":
            more["tasks"] = 2
        else:
            more["rates"] = sorted({*asked["rates"], rng.choice((0.3, 0.5, 2.0, 3.0))})
    return more


def suite_of(asked: dict[str, Any]) -> Suite:
    tasks = (toys.bowl_spec(), toys.bowl_spec(batch_size=16))[: asked["tasks"]]
    protocol = Protocol(
        steps=asked["steps"],
        seeds=asked["seeds"],
        baseline="exploding",
        baseline_multiple=asked["multiple"],
        eval_every=5,
        heldout_every=10,
        learning_rates=tuple(asked["rates"]),
    )
    return Suite("growing", tasks, protocol, tuple(asked["optimizers"]))


@pytest.mark.parametrize(
    "number", [n if n < 1 else pytest.param(n, marks=pytest.mark.long) for n in range(20)]
)
def test_growing_questions_give_the_bits_and_tables_of_one_question(tmp_path, number: int):
    rng = random.Random(number)
    asked: dict[str, Any] = {
        "steps": 10, "seeds": 1, "multiple": 1, "optimizers": ["exploding", "swept"], "tasks": 1,
        "rates": [1.0],
    }  # fmt: skip
    swept = toys.scaled(name="swept")
    knowing = toys.scaled(name="knowing", needs=frozenset({"num_steps"}))
    with toys.registered(exploding=toys.exploding(), swept=swept, knowing=knowing):
        last = asked
        for _ in range(5):
            before = trained(tmp_path / "grown") if (tmp_path / "grown").exists() else {}
            ask(suite_of(asked), tmp_path / "grown")
            assert before.items() <= trained(tmp_path / "grown").items()
            last, asked = asked, grown(rng, asked)
        ask(suite_of(last), tmp_path / "once")
        again = ask(suite_of(last), tmp_path / "grown")
    assert again.done == 0 and again.missing == 0
    assert curves(tmp_path / "grown") == curves(tmp_path / "once")
    assert tables(tmp_path / "grown") == tables(tmp_path / "once")


def mlp_suite(**protocol: Any) -> Suite:
    task = TaskSpec(
        "mlp", {"hidden_size": 8, "num_layers": 1, "image_size": 4}, DataSpec("digits"), 8
    )
    values = {"steps": 10, "seeds": 1, "baseline_multiple": 1, "learning_rates": (1e-2, 1e-1)}
    values |= {"eval_every": 5, "heldout_every": 5}
    return Suite("one", (task,), Protocol(**(values | protocol)), ("adam",))


@pytest.mark.parametrize("mode", ["sequential", "vmap"])
def test_a_run_goes_on_from_its_kept_end_bit_for_bit(tmp_path, monkeypatch, mode: str):
    if mode == "vmap":
        monkeypatch.setattr(batching, "CPU_VMAP_STEPS", 0)
    ask(mlp_suite(), tmp_path / "grown")
    (first,) = (tmp_path / "grown" / "states").iterdir()
    assert ask(mlp_suite(steps=20), tmp_path / "grown").done == 1
    ask(mlp_suite(steps=20), tmp_path / "once")
    assert curves(tmp_path / "grown") == curves(tmp_path / "once")
    record = {shard.begin: shard for shard in Store.open(tmp_path / "grown").shards()}
    assert record[10].after == first.stem and record[10].metadata.get("mode") == mode
    # The end of a run that went on is not needed any more.
    assert [path.stem for path in (tmp_path / "grown" / "states").iterdir()] == [record[10].id]


def test_without_its_kept_end_a_run_starts_over(tmp_path):
    with toys.registered(counting=toys.counting()):
        ask(toys.bowl_suite("counting"), tmp_path)
        for path in (tmp_path / "states").iterdir():
            path.unlink()
        assert ask(toys.bowl_suite("counting", steps=30), tmp_path).done == 2
        for path in (tmp_path / "states").iterdir():
            path.write_bytes(b"damaged")
        assert ask(toys.bowl_suite("counting", steps=40), tmp_path).done == 2
    last = [shard for shard in Store.open(tmp_path).shards() if shard.stop == 40]
    assert all(shard.begin == 0 and shard.metadata.get("started_over") for shard in last)
    (cell,) = Store.open(tmp_path).cells()
    np.testing.assert_array_equal(cell.curves().values, [cell.curves().steps] * 2)


def test_a_run_goes_on_from_an_earlier_end_if_the_last_is_not_kept(tmp_path):
    with toys.registered(counting=toys.counting()):
        ask(toys.bowl_suite("counting"), tmp_path)
        early = {path: path.read_bytes() for path in (tmp_path / "states").iterdir()}
        for path in early:
            path.unlink()
        ask(toys.bowl_suite("counting", steps=30), tmp_path)
        for path in (tmp_path / "states").iterdir():
            path.unlink()
        for path, content in early.items():
            path.write_bytes(content)
        assert ask(toys.bowl_suite("counting", steps=40), tmp_path).done == 2
    last = [shard for shard in Store.open(tmp_path).shards() if shard.stop == 40]
    assert [(one.begin, one.after) for one in last] == [(20, one.after) for one in last]
    assert {one.after for one in last} == {path.stem for path in early}
    (cell,) = Store.open(tmp_path).cells()
    np.testing.assert_array_equal(cell.curves().values, [cell.curves().steps] * 2)


def test_a_loss_after_the_last_update_that_a_shorter_run_does_not_see(tmp_path):
    """The batch of the 11th update has no finite loss, though the evaluation before it has."""

    def build(config: toys.BowlConfig, view: Any, precision: str) -> TaskFunctions:
        plain = toys._build(config, view, precision)

        def loss(params: Any, *rest: Any, **options: Any) -> tuple[Any, Any]:
            value, state = plain.loss(params, *rest, **options)
            return jnp.where(value == 10, jnp.inf, value), state

        return dataclasses.replace(plain, loss=loss)

    with toys.registered(counting=toys.counting()):
        touchy = dataclasses.replace(toys.BOWL, name="touchy", build=build)
        with families.temporarily("touchy", touchy):
            spec = dataclasses.replace(toys.bowl_spec(), family="touchy")
            for steps, out in ((20, "grown"), (10, "grown"), (10, "once")):
                suite = dataclasses.replace(toys.bowl_suite("counting", steps=steps), tasks=(spec,))
                ask(suite, tmp_path / out)
    assert curves(tmp_path / "grown") == curves(tmp_path / "once")
    (cell,) = Store.open(tmp_path / "grown").cells()
    assert [lane.status for lane in cell.lanes] == ["ok"] * 2
    (longer,) = Store.open(tmp_path / "grown", question_name=1).cells()
    assert [lane.diverged_at for lane in longer.lanes] == [10] * 2


def test_a_large_state_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("velodrome.suites.training.shard.STATE_BYTES", 10)
    with toys.registered(counting=toys.counting()):
        ask(toys.bowl_suite("counting"), tmp_path)
        assert not (tmp_path / "states").exists()
        assert ask(toys.bowl_suite("counting", steps=30), tmp_path).done == 2


def test_an_optimizer_that_knows_its_horizon_is_run_again_for_another_one(tmp_path):
    with toys.registered(
        counting=toys.counting(),
        knowing=toys.scaled(name="knowing", needs=frozenset({"num_steps"})),
    ):
        ask(toys.bowl_suite("knowing", learning_rates=(1.0,)), tmp_path)
        ask(toys.bowl_suite("knowing", learning_rates=(1.0,), steps=30), tmp_path)
    assert not (tmp_path / "states").exists()
    ends = [(shard.begin, shard.stop) for shard in Store.open(tmp_path).shards()]
    assert sorted(ends) == [(0, 20)] * 2 + [(0, 30)] * 2


def test_a_shorter_question_is_answered_by_longer_runs(tmp_path):
    with toys.registered(exploding=toys.exploding()):
        ask(toys.bowl_suite("exploding", steps=30), tmp_path / "grown")
        # Of runs that were lost at 10 nobody knows whether a run of 10 updates would have been.
        assert ask(toys.bowl_suite("exploding", steps=10), tmp_path / "grown").done == 2
        assert ask(toys.bowl_suite("exploding", steps=10), tmp_path / "grown").done == 0
        ask(toys.bowl_suite("exploding", steps=10), tmp_path / "once")
        assert curves(tmp_path / "grown") == curves(tmp_path / "once")
        # At 15 the held-out split was not evaluated, except of runs that had diverged by then.
        again = ask(toys.bowl_suite("exploding", steps=15), tmp_path / "grown")
        ask(toys.bowl_suite("exploding", steps=15), tmp_path / "once")
    assert again.done == 2
    assert curves(tmp_path / "grown") == curves(tmp_path / "once")


def test_another_protocol_of_measuring_is_another_run_in_the_same_store(tmp_path):
    with toys.registered(counting=toys.counting()):
        ask(toys.bowl_suite("counting"), tmp_path)
        assert ask(toys.bowl_suite("counting", eval_every=10), tmp_path).done == 2
        first = Store.open(tmp_path, question_name=1)
        assert [len(cell.curves().steps) for cell in first.cells()] == [5]
        assert [len(cell.curves().steps) for cell in Store.open(tmp_path).cells()] == [3]
        renamed = dataclasses.replace(toys.bowl_suite("counting"), name="other")
        assert ask(renamed, tmp_path).done == 0


def test_some_runs_of_a_question_go_on_further_than_others(tmp_path):
    with toys.registered(exploding=toys.exploding(), counting=toys.counting()):
        suite = toys.bowl_suite("exploding", "counting", steps=10, baseline_multiple=3, seeds=1)
        loaded = LoadedSuite.of(suite)
        plan = make_plan(loaded)
        baseline, other = plan.cells
        runs = [lane.run for lane in baseline.lanes]
        first = {cell.id: {lane.run: 10 for lane in cell.lanes} for cell in plan.cells}
        store, _ = open_store(loaded, tmp_path, plan, baseline_mode="racing", targets=first)
        runner = ShardRunner(store, loaded, checkpoint_seconds=60.0)
        for shard in store.plan.shards:
            runner.run_shard(shard.id, Silent())
        # Two of the four rates have diverged by then.
        targets = {**first, baseline.id: {runs[0]: 25, runs[3]: 15}}
        store.take_plan(extended(store, loaded, store.plan, targets))
        left = [shard for shard in store.plan.shards if not store.has_shard(shard.id)]
        assert [(shard.start, shard.stop, len(shard.lanes)) for shard in left] == [
            (10, 25, 1),
            (10, 15, 1),
        ]
        for shard in left:
            runner.run_shard(shard.id, Silent())
        targets = {baseline.id: {runs[0]: 25}}
        store.take_plan(extended(store, loaded, store.plan, targets))
        assert all(store.has_shard(shard.id) for shard in store.plan.shards)
        ask(suite, tmp_path, baseline="exhaustive")
    racing = Store.open(tmp_path, question_name=1)
    assert racing.manifest.get("baseline_mode") == "racing"
    found, _ = racing.cells()
    ends = [values[np.isfinite(values)].size for values in found.curves().values]
    assert ends == [7, 2, 2, 3]  # at every 5 updates, up to 30 by the second question
    assert Store.open(tmp_path).manifest.get("baseline_mode") == "exhaustive"


def test_a_store_grows_by_the_values_of_a_grid(tmp_path):
    grids = {"sgdm": {"learning_rate": (0.01, 0.1)}}
    suite = dataclasses.replace(mlp_suite(), optimizers=("adam", "sgdm"))
    ask(suite.override(grids=grids), tmp_path / "grown")
    more = {"sgdm": {"learning_rate": [0.01, 0.1, 1], "momentum": [0.5]}}
    assert (
        ask(
            suite.override(grids={"sgdm": {"learning_rate": [0.01, 0.1, 1]}}), tmp_path / "grown"
        ).done
        == 1
    )
    asked = suite.override(grids=more)
    assert ask(asked, tmp_path / "grown").done == 1
    ask(asked, tmp_path / "once")
    assert curves(tmp_path / "grown") == curves(tmp_path / "once")
    _, sgdm = Store.open(tmp_path / "grown").cells()
    assert [dict(lane.hyperparameters) for lane in sgdm.lanes] == [
        {"learning_rate": rate, "momentum": 0.5} for rate in (0.01, 0.1, 1.0)
    ]
    assert ask(asked, tmp_path / "grown", grid=grids).done == 0


def test_a_stopped_run_is_finished_as_part_of_a_larger_question(tmp_path):
    rates = (1.0, 2.0, 3.0, 4.0, 5.0)
    with toys.registered(swept=toys.scaled(name="swept")):
        small = LoadedSuite.of(toys.bowl_suite("swept", learning_rates=rates))
        store, _ = open_store(small, tmp_path / "grown", make_plan(small))
        # The runs of the second seed have other numbers where there are more rates.
        with pytest.raises(Stopped):
            runner = ShardRunner(store, small, checkpoint_seconds=0.0)
            runner.run_shard(store.plan.shards[1].id, Silent(stop=True))
        large = toys.bowl_suite("swept", learning_rates=(*rates, 6.0))
        assert not ask(large, tmp_path / "grown").missing
        ask(large, tmp_path / "once")
    assert curves(tmp_path / "grown") == curves(tmp_path / "once")


class Silent:
    """A control that only says whether to stop."""

    def __init__(self, *, stop: bool = False):
        self.stop = stop

    def report(self, **said: object) -> None:
        del said

    def should_stop(self) -> bool:
        return self.stop
