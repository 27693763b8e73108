"""The tasks of a suite in bfloat16, or with batches in parts."""

from __future__ import annotations

import pytest

from velodrome.foundation.errors import SpecError
from velodrome.suites.planning.batching import choose
from velodrome.suites.planning.computation import computed_as
from velodrome.suites.planning.estimates import overview
from velodrome.suites.planning.plan import make_plan
from velodrome.suites.protocol import Protocol
from velodrome.suites.suite import Suite
from velodrome.taskgen import description
from velodrome.taskgen.spec import DataSpec, TaskSpec

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
    with pytest.raises(SpecError, match="a divisor of the batch size, 512"):
        computed_as(SUITE, grad_accumulation=3)
    with pytest.raises(SpecError, match=r"'float32' or 'bfloat16'"):
        computed_as(SUITE, precision="float16")


def test_plans_predict_less_memory():
    used = []
    for suite in (SUITE, computed_as(SUITE, precision="bfloat16", grad_accumulation=8)):
        plan = make_plan(suite, backend="gpu")
        used.append(overview(plan, suite.protocol)[0].memory_bytes)
    assert used[1] < used[0]


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
