"""The tasks of a suite in bfloat16, or with batches in parts."""

from __future__ import annotations

import dataclasses

import pytest
import toys

from velodrome.foundation.errors import SpecError
from velodrome.results.store.plan import Plan
from velodrome.suites.planning.batching import choose
from velodrome.suites.planning.computation import computed_as
from velodrome.suites.planning.estimates import overview
from velodrome.suites.planning.plan import make_plan
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.run import run
from velodrome.suites.suite import Suite
from velodrome.taskgen import description
from velodrome.taskgen.budget import load_profile, save_profile
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

MLP = TaskSpec("mlp", {"hidden_size": 512, "image_size": 16}, DataSpec("digits"), 512)
NAMED = TaskSpec("mlp", {"num_layers": 1}, DataSpec("digits"), 64, name="small")
SUITE = Suite("two", (MLP, NAMED), Protocol(steps=20), ("adam",))


def test_a_suite_says_how_its_tasks_are_computed():
    assert computed_as(SUITE) is SUITE
    changed = computed_as(SUITE, precision="bfloat16", grad_accumulation=4)
    assert changed.name == "two in bfloat16 with batches in 4 parts"
    suffix = "-bfloat16-4-parts"
    assert [task.label for task in changed.tasks] == [MLP.label + suffix, "small" + suffix]
    assert not {task.hash for task in changed.tasks} & {task.hash for task in SUITE.tasks}
    again = computed_as(changed, precision="float32", grad_accumulation=1)
    assert [task.label for task in again.tasks] == [MLP.label, "small"]
    assert again.hash == SUITE.hash


def test_what_cannot_be_is_refused():
    with pytest.raises(SpecError, match="batch size, 512, in the task mlp-"):
        computed_as(SUITE, grad_accumulation=3)
    with pytest.raises(SpecError, match=r"'float32' or 'bfloat16'"):
        computed_as(SUITE, precision="float16")


def test_plans_predict_less_memory():
    used = []
    for suite in (SUITE, computed_as(SUITE, precision="bfloat16", grad_accumulation=8)):
        plan = make_plan(suite, backend="gpu")
        used.append(overview(plan, suite.protocol)[0].memory_bytes)
    assert used[1] < used[0]


def test_an_evaluation_takes_more_than_a_small_part():
    """Slices of a CPU have at least 32 examples: 16 times as many as each of these parts."""
    spec = dataclasses.replace(MLP, config={"hidden_size": 4096}, batch_size=256)
    plan = make_plan(
        computed_as(Suite("one", (spec,), SUITE.protocol, ("sgd",)), grad_accumulation=128)
    )
    (cell,), (found,) = plan.cells, overview(plan, SUITE.protocol)
    assert cell.part_size == 2 and cell.batching.eval_slice == 32
    assert Plan.from_json(plan.to_json()) == plan
    more = dataclasses.replace(cell, batching=dataclasses.replace(cell.batching, eval_slice=64))
    (doubled,) = overview(dataclasses.replace(plan, cells=(more,)), SUITE.protocol)
    assert doubled.memory_bytes - found.memory_bytes == 16 * cell.cost.activation_bytes


def test_devices_share_a_part(tmp_path, monkeypatch):
    """Of a batch of 512, sixteen devices could have a share; of two examples, only two."""
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path))
    save_profile(dataclasses.replace(load_profile("v100"), name="tiny", memory_bytes=10**6))
    spec = dataclasses.replace(MLP, grad_accumulation=256)
    assert description.describe(MLP, device="tiny")["devices"] > 2
    facts = description.describe(spec, device="tiny")
    assert facts["devices"] is None
    assert facts["over_budget"][-1].endswith(
        "no number of devices that shares 2 examples evenly has it"
    )
    save_profile(dataclasses.replace(load_profile("v100"), name="tiny", memory_bytes=4 * 10**7))
    suite, display = Suite("two", (spec, MLP), SUITE.protocol, ("adam",)), toys.Recorder()
    run(suite, tmp_path / "x", dry_run=True, device="tiny", progress=display)
    (said,) = (line for line in display.told if "would need more" in line)
    assert f"{spec.label}: no number that shares 2 examples evenly" in said
    count = int(said.partition(f"{MLP.label}: ")[2].partition(".")[0])
    assert count > 2 and MLP.batch_size % count == 0
    copied, display = Suite("one", (MLP,), SUITE.protocol, ("adam",)), toys.Recorder()
    where = tmp_path / "x"
    run(copied, where, dry_run=True, device="tiny", devices=2, sharding="data", progress=display)
    assert "--sharding full splits them" in "\n".join(display.told)


def test_evaluations_take_slices_no_larger_than_a_part():
    parts = computed_as(SUITE, grad_accumulation=8).tasks[0]
    sizes = {
        backend: choose(
            description.cost(parts),
            batch_size=512,
            horizon=20,
            seeds=1,
            points=1,
            eval_examples=8192,
            backend=backend,
            parts=8,
        ).eval_slice
        for backend in ("cpu", "gpu")
    }
    assert sizes["gpu"] == 64
    assert 0 < sizes["cpu"] <= 512
