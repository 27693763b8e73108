"""The stress suites reach as far as they say, and the table of memory is the optimizers' own."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import documents, stress_memory, stress_suites, stress_table
from velodrome.foundation.text import size
from velodrome.optimizers.velo.optimizer import MAX_TRAINING_STEPS
from velodrome.suites.catalog import load_suite
from velodrome.taskgen.description import cost, describe

ROOT = Path(__file__).parents[2]


def test_they_go_beyond_the_limits_of_the_paper():
    sizes = [cost(task).params for task in load_suite("stress-parameters").tasks]
    assert min(sizes) < 1.3e6
    for family in ("transformer", "mlp"):
        mine = [t for t in load_suite("stress-parameters").tasks if t.family == family]
        assert sum(cost(task).params > 5e8 for task in mine) == 2
        assert len({(t.data, t.batch_size, t.view) for t in mine}) == 1  # the same batches
    longest = load_suite("stress-steps-400k")
    assert longest.protocol.steps == 400_000 > 2 * MAX_TRAINING_STEPS
    for end in stress_suites.STEPS:
        suite = load_suite(f"stress-steps-{end}")
        assert suite.tasks == longest.tasks
        evaluations = suite.protocol.evaluations(suite.protocol.steps)
        assert len(evaluations) == stress_suites.EVALUATIONS + 1


def test_a_task_that_does_not_fit_says_how_many_devices_do():
    largest = load_suite("stress-parameters").tasks[6]
    facts = describe(largest, device="v100", hours=1000)
    assert facts["devices"] == 4  # 45.1 GB, 16 GB each, and a batch of 8
    (words,) = facts["over_budget"]
    assert words.endswith("; 4 of them have it together: `velodrome run --devices 4`")
    assert describe(largest, device="h100")["devices"] == 1


@pytest.mark.parametrize(
    "tasks", [slice(12, None), pytest.param(slice(12), marks=pytest.mark.long)], ids=["mlp", "all"]
)
def test_the_documented_memory_is_that_of_the_optimizers(tasks):
    document = (ROOT / stress_table.DOCUMENT).read_text()
    for spec in load_suite("stress-parameters").tasks[tasks]:
        assert documents.line(stress_table.row(spec)) in document


def test_the_documented_memory_on_each_device_begins_with_what_adam_keeps():
    document = (ROOT / stress_memory.DOCUMENT).read_text()
    for name in stress_memory.TASKS:
        (task,) = load_suite(f"stress-parameters/{name}").tasks
        for devices in stress_memory.DEVICES:
            for optimizer in ("Adam", "VeLO (velo-tiny)"):
                assert document.count(f"| {name} | {optimizer} | {devices} | ") == 1
        # Parameters and two moments, in float32; the batch is small.
        assert f"| {name} | Adam | 1 | {size(12 * cost(task).params)} | " in document
