"""The score of a point: what tables say of it, from runs that are trained once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import optax
import pytest

import velodrome
from velodrome.foundation.errors import PlanError, SpecError, StoreError
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.results.report.data import collect
from velodrome.results.store.store import Store
from velodrome.suites.protocol import Protocol
from velodrome.suites.suite import Suite
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

RATES = (1e-3, 1e-2, 3e-2)


def suite(*, tasks: int = 1, rates: tuple[float, ...] = RATES) -> Suite:
    config = {"hidden_size": 8, "num_layers": 1, "image_size": 4}
    specs = tuple(TaskSpec("mlp", config, DataSpec("digits"), 8 * (n + 1)) for n in range(tasks))
    protocol = Protocol(
        steps=20, seeds=1, baseline_multiple=3, eval_every=5, heldout_every=10,
        learning_rates=rates,
    )  # fmt: skip
    return Suite("scored", specs, protocol)


def score(optimizer: Any, point: dict[str, Any], out: Path, *, of: Suite, **options: Any) -> float:
    return velodrome.score(optimizer, of, point, out=out, workers=0, **options)


def files(directory: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (directory / "shards").iterdir()}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    out = tmp_path_factory.mktemp("score") / "store"
    return out, score("sgd", {"learning_rate": 0.3}, out, of=suite(tasks=2))


def test_a_score_is_the_geometric_mean_of_what_tables_say(first: tuple[Path, float]):
    out, value = first
    summary = collect(Store.open(out)).summary
    one, two = summary["speedup_steps_default"]
    assert list(summary["candidate_trials"]) == [1, 1] and min(one, two) > 0.25
    assert value == pytest.approx((one * two) ** 0.5)


def test_nothing_is_trained_twice(first: tuple[Path, float], tmp_path: Path):
    out, value = first
    before = files(out)
    assert score("sgd", {"learning_rate": 0.3}, out, of=suite(tasks=2)) == value
    assert files(out) == before
    other = score("sgd", {"learning_rate": 0.1}, out, of=suite(tasks=2))
    assert other != value
    new = [x for x in Store.open(out).shards() if x.path in files(out).keys() - before.keys()]
    # The baseline goes on where it has not reached the new loss, and never starts over.
    assert all(shard.optimizer.name == "sgd" or shard.begin for shard in new)
    assert sum(shard.optimizer.name == "sgd" for shard in new) == 2
    # Other points, and an earlier one that is asked for again, do not matter.
    assert score("sgd", {"learning_rate": 0.3}, out, of=suite(tasks=2)) == value
    whole = tmp_path / "whole"
    velodrome.run(
        suite(tasks=2), whole, optimizers=["adam", "sgd"], baseline="exhaustive", workers=0,
        timing=False, progress="silent",
    )  # fmt: skip
    before = files(whole)
    options: dict[str, Any] = {"of": suite(tasks=2), "baseline_store": whole}
    mine = tmp_path / "mine"
    assert score("sgd", {"learning_rate": 0.3}, mine, **options) == value
    assert {shard.optimizer.name for shard in Store.open(mine).shards()} == {"sgd"}
    assert files(whole) == before
    with pytest.raises(StoreError, match="stopped before it had reached the loss of SGD.*exhaust"):
        score("sgd", {"learning_rate": 1.0}, mine, of=suite(tasks=2), baseline_store=out)


def test_a_loss_that_is_never_reached_counts_as_the_budget(tmp_path: Path):
    slow = suite(rates=(1e-6,))
    assert score("sgd", {"learning_rate": 0.3}, tmp_path, of=slow) == pytest.approx(3)


@pytest.mark.parametrize("rate", [0.0, 1e30])
def test_a_candidate_that_is_lost_counts_as_one_evaluation_interval(
    first: tuple[Path, float], rate: float
):
    value = score("sgd", {"learning_rate": rate}, first[0], of=suite(tasks=2))
    assert value == 5 / 20


def test_an_optimizer_that_this_process_made(first: tuple[Path, float]):
    def factory(learning_rate: Any, decay: float) -> optax.GradientTransformation:
        return optax.chain(optax.add_decayed_weights(decay), optax.sgd(learning_rate))

    spec = OptimizerSpec(
        "mine", "Mine", factory, grid={"learning_rate": RATES}, traced=frozenset({"learning_rate"})
    )
    point = {"learning_rate": 0.3, "decay": 0.0}
    value = score(spec, point, first[0], of=suite(tasks=2))
    assert value == pytest.approx(first[1])
    broken = dataclasses.replace(spec, name="broken", factory=lambda learning_rate: 3)
    with pytest.raises(velodrome.VelodromeError, match="must return an optax transformation"):
        score(broken, {"learning_rate": 0.3}, first[0], of=suite(tasks=2))


@pytest.mark.parametrize(
    ("optimizer", "point", "message"),
    [
        ("sgd", {}, "a point, with a value for learning_rate too"),
        ("sgd", {"learning_rate": 0.1, "rate": 1}, "rate.*one of the hyperparameters"),
        ("adam", {"learning_rate": 0.1}, "score it under another name, such as optax:adam"),
    ],
)
def test_a_point_that_is_none_is_refused(
    tmp_path: Path, optimizer: str, point: dict[str, Any], message: str
):
    with pytest.raises((SpecError, PlanError), match=message):
        score(optimizer, point, tmp_path / "none", of=suite())
    assert not (tmp_path / "none").exists()
