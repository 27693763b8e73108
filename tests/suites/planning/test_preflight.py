from __future__ import annotations

import json
from typing import cast

import optax
import pandas as pd
import pyarrow.parquet as pq
import pytest

import velodrome
from velodrome.foundation.errors import DataError, PlanError, SpecError
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import make_plan
from velodrome.suites.planning.preflight import check_suite, with_data
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.run import run
from velodrome.suites.suite import Suite
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec


def suite(*names: str) -> Suite:
    tasks = tuple(
        TaskSpec("mlp", {"hidden_size": 8, "image_size": 4}, DataSpec(name), 8) for name in names
    )
    protocol = Protocol(
        steps=10, seeds=1, baseline_multiple=1, eval_every=5, eval_examples=16, heldout_every=10
    )
    return Suite("mine", tasks, protocol, ("adam", "sgd"))


def test_stand_ins_replace_published_data_only():
    before = suite("mnist", "cifar10", "digits")
    after = with_data(before, "stand-in")
    names = [task.data.name for task in after.tasks]
    assert names == ["stand-in:mnist", "stand-in:cifar10", "digits"]
    assert [task.label for task in after.tasks] == [task.label for task in before.tasks]
    assert after.tasks[2] is before.tasks[2]
    assert after.name == "mine on stand-in data" and after.hash != before.hash
    assert with_data(before, None) is before
    kinds = {datasets.get(name).info.provenance for name in names}
    assert kinds == {"stand-in", "built-in"}


def test_augmentation_stays():
    task = TaskSpec("mlp", {}, DataSpec("cifar10", shift=2, flip=True), 8)
    mine = Suite("mine", (task,), Protocol(steps=10), ("adam",))
    (after,) = with_data(mine, "stand-in").tasks
    assert after.data == DataSpec("stand-in:cifar10", shift=2, flip=True)


def test_built_in_data_serve_for_some_sets_only():
    (task,) = with_data(suite("mnist"), "built-in").tasks
    assert task.data.name == "mnist5k"
    bytes_of_text = TaskSpec("rnn", {"cell": "gru"}, DataSpec("lm1b_bytes"), 8)
    text = Suite("mine", (bytes_of_text,), Protocol(steps=10), ("adam",))
    (task,) = with_data(text, "built-in").tasks
    assert task.data.name == "kjv"
    with pytest.raises(PlanError, match="mnist, lm1b_bytes only, but mine has tasks on cifar10"):
        with_data(suite("mnist", "cifar10"), "built-in")


def test_messages():
    with pytest.raises(PlanError, match="no task of mine is on published data"):
        with_data(suite("digits"), "stand-in")
    with pytest.raises(SpecError, match="one of stand-in, built-in"):
        with_data(suite("mnist"), "fake")


@pytest.mark.long
def test_every_table_figure_and_file_says_stand_in_data(tmp_path):
    run(
        suite("mnist"),
        tmp_path / "store",
        data="stand-in",
        learning_rates=[1e-3],
        workers=0,
        timing=False,
        progress="silent",
    )
    manifest = Store.open(tmp_path / "store").manifest
    assert manifest["data"] == "stand-in"
    assert manifest["suite"]["name"] == "mine on stand-in data"
    shard, _ = sorted((tmp_path / "store" / "shards").glob("*.parquet"))
    metadata = json.loads(pq.read_schema(shard).metadata[b"velodrome"])
    assert metadata["data"]["name"] == "stand-in:mnist"
    assert metadata["data"]["provenance"] == "stand-in"
    assert metadata["data"]["content_hash"] == datasets.get("stand-in:mnist").info.content_hash
    velodrome.report(tmp_path / "store", out=tmp_path / "report")
    for path in sorted((tmp_path / "report").rglob("*.csv")):
        table = pd.read_csv(path)
        assert set(table["provenance"]) <= {"stand-in"}, path.name


def test_a_plan_can_be_seen_without_the_data(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "cache"))
    run(suite("mnist", "cifar10"), tmp_path / "store", dry_run=True, progress="plain")
    shown = capsys.readouterr()
    told = shown.out + shown.err
    assert "Missing data: cifar10, for 1 task. To" in told
    assert "velodrome data prepare mnist --download" in told
    with pytest.raises(DataError, match="velodrome data prepare mnist --download"):
        run(suite("mnist", "cifar10"), tmp_path / "store", progress="silent")
    assert not (tmp_path / "store").exists()


def test_runs_that_are_too_long_for_some_weights_are_said_before_them():
    named = ("adam", "velo:velo-tiny-2", "velo:velo-tiny-3")
    longest, long, short = (
        suite("digits").override(optimizers=named, steps=steps)
        for steps in (40_010, 10_010, 10_000)
    )
    (note,) = check_suite(long)
    assert "(velo-tiny-2) is known to fail in runs of more than 10,000 steps" in note
    assert "(velo-tiny-3) is known to fail in runs of more than 40,000" in check_suite(longest)[1]
    assert check_suite(short) == []


def test_a_rate_that_cannot_be_traced_is_said_before_a_run():
    def warmed_up(learning_rate, num_steps):
        return optax.sgd(optax.warmup_cosine_decay_schedule(0.0, learning_rate, 2, num_steps))

    with optimizers.temporarily("warmed_up", cast(OptimizerSpec, warmed_up)):
        mine = suite("digits").override(optimizers=("adam", "warmed_up"), learning_rates=(0.1,))
        (note,) = check_suite(mine)
        assert "learning rate of warmed_up is static" in note
        shards = make_plan(mine).shards
    assert check_suite(suite("digits")) == []
    assert len(shards) == 2
