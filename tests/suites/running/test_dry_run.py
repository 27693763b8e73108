"""Messages before anything is trained."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import toys

from velodrome.foundation.errors import PlanError, StoreError, UnknownNameError
from velodrome.suites.catalog import load_suite
from velodrome.suites.planning.preflight import check_suite, train_examples
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.run import run
from velodrome.suites.suite import Suite
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec


def go(out: Path, *, suite: Suite | None = None, **options) -> list[str]:
    """Run, or only look at, two runs of one bowl; return the messages."""
    display = toys.Recorder()
    options = {"workers": 0, "timing": False, "progress": display, **options}
    with toys.registered(counting=toys.counting(), other=toys.counting(name="other")):
        run(suite or toys.bowl_suite("counting"), out, **options)
    return display.told


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(tmp_path):
    told = go(tmp_path / "out", dry_run=True)
    assert not (tmp_path / "out").exists()
    said = "\n".join(told)
    for words in ("2 runs x 20 steps", "2 shards", "of memory", "on disk"):
        assert words in said
    assert told[-1].startswith("1 cell, 2 shards, 2 runs: about ")
    assert told[-1].endswith("Nothing was done.")
    assert all(f"{mode} about" in told[-2] for mode in ("decided", "racing:4"))
    assert told[-3].startswith(
        "Compiling comes on top: a run from nothing has at least 1 training program; "
    )
    assert "very roughly 5 s to 15 s here" in told[-3]


def test_a_dry_run_counts_a_program_for_each_static_choice(tmp_path):
    names = {"traced": frozenset(), "static": frozenset({"learning_rate"})}
    static = toys.scaled(name="static", grid={"learning_rate": (0.1, 1.0)}, **names)
    with toys.registered(static=static):
        told = go(tmp_path, suite=toys.bowl_suite("static", "counting"), dry_run=True)
    (said,) = (line for line in told if "Compiling" in line)
    assert "at least 3 training programs" in said


def test_a_device_whose_compiling_was_not_measured_has_no_estimate(tmp_path):
    (said,) = (line for line in go(tmp_path, dry_run=True, device="v100") if "Compiling" in line)
    assert "was not measured" in said and "roughly" not in said


def test_a_dry_run_predicts_the_race_that_is_asked_for(tmp_path):
    with toys.registered(exploding=toys.exploding()):
        suite = toys.bowl_suite("exploding", baseline_multiple=10)
        told = [go(tmp_path, suite=suite, dry_run=True, baseline=f"racing:{k}")[-2] for k in (1, 4)]
    assert "racing:1 about" in told[0] and "racing:4 about" in told[1]
    assert told[0].partition("racing:1")[2][:30] != told[1].partition("racing:4")[2][:30]


def test_a_dry_run_looks_into_the_store_that_is_there(tmp_path):
    go(tmp_path)
    path = next((tmp_path / "shards").glob("*.parquet"))
    path.unlink()
    failures = tmp_path / "failures"
    failures.mkdir()
    (failures / f"{path.stem}.json").write_text(json.dumps({"kind": "oom", "message": "m"}))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    told = go(tmp_path, dry_run=True)
    words = "has 1 of 2 runs; to train: 1 run in 1 shard (1 failed before, and would be tried a"
    assert any(words in line and "timed: 0 of 1 cell." in line for line in told)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_a_dry_run_refuses_what_a_run_would_refuse(tmp_path):
    (tmp_path / "file").write_text("")
    for dry_run in (False, True):
        with pytest.raises(StoreError, match="file is a file, but a store of results is a dir"):
            go(tmp_path / "file", dry_run=dry_run)


def test_a_dry_run_says_what_would_be_added(tmp_path):
    go(tmp_path)
    told = go(tmp_path, dry_run=True, steps=30, seeds=3)
    words = "has 0 of 3 runs; to train: 3 runs in 3 shards, of which 2 go on from where they stop"
    assert any(words in line for line in told)


def test_a_dry_run_for_another_device_says_how_lanes_are_grouped(tmp_path):
    told = go(tmp_path / "out", dry_run=True, device="v100")
    words = "Lanes are grouped into shards as on a gpu; a run here, on the cpu, groups them in"
    assert any(words in line for line in told)
    assert not any("grouped" in line for line in go(tmp_path / "out", dry_run=True))


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_baseline_that_is_not_run_is_told(tmp_path, dry_run: bool):
    suite = toys_suite("counting", baseline="adam")
    told = go(tmp_path / "out", suite=suite, dry_run=dry_run)
    words = "The baseline adam is not among the optimizers (counting), so the report will have no"
    assert any(words in line and "--optimizers counting,adam" in line for line in told)
    assert not any("The baseline" in line for line in go(tmp_path / "with", dry_run=dry_run))


def test_an_unknown_baseline_gets_the_close_ones(tmp_path):
    content: Any = load_suite("smoke").to_json()
    content["protocol"]["baseline"] = "adma"
    path = tmp_path / "suite.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UnknownNameError, match="the baseline of the protocol. named 'adma'. Did"):
        run(str(path), tmp_path / "out", progress="silent")
    assert not (tmp_path / "out").exists()


def toys_suite(*names: str, **protocol) -> Suite:
    with toys.registered():
        return toys.bowl_suite(*names, **protocol)


def image_task(batch_size: int) -> TaskSpec:
    return TaskSpec("mlp", {"num_layers": 0}, DataSpec("digits"), batch_size)


def text_task(batch_size: int, length: int) -> TaskSpec:
    config = {"sequence_length": length, "vocab_size": 128}
    return TaskSpec("rnn", config, DataSpec("kjv"), batch_size)


@pytest.mark.parametrize("task", [image_task(4), text_task(4, 8), text_task(4, 128)])
def test_examples_are_counted_as_the_source_counts_them(task: TaskSpec):
    from velodrome.taskgen.build import open_source

    assert train_examples(task) == open_source(task, "train").size


def test_a_batch_larger_than_the_split_is_told_before_the_run(tmp_path):
    size = train_examples(image_task(1))
    assert size is not None
    fits, larger, largest = (image_task(n) for n in (size, size + 1, 4096))
    suite = Suite("mine", (fits,), Protocol(steps=20), ("adam",))
    assert check_suite(suite) == []
    suite = dataclasses.replace(suite, tasks=(fits, larger, largest))
    with pytest.raises(PlanError) as refused:
        run(suite, tmp_path / "out", dry_run=True, progress="silent")
    told = str(refused.value)
    assert f"the task {larger.label} has a batch of {size + 1:,} examples, but the train" in told
    assert f"split of 'digits' as it sees it has {size:,} (and likewise for 1 more" in told
