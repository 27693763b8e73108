"""The held-out tasks are what is promised: counts, limits, seeds, and data kept from training."""

from __future__ import annotations

from collections import Counter

import pytest

from scripts import choose_heldout as heldout
from scripts import choose_sprint
from velodrome.optimizers.metatrain.config.config import builtin_configs, load_plan
from velodrome.optimizers.metatrain.config.inner import FIRST_TRAINING_SEED, HELD_OUT_DATA
from velodrome.optimizers.metatrain.es.tasks import sample_pool
from velodrome.suites.catalog import load_suite
from velodrome.taskgen.description import cost


@pytest.fixture(scope="module")
def suite():
    return load_suite("heldout-40")


def test_ten_of_each_family_within_the_limits(suite):
    assert Counter(task.family for task in suite.tasks) == dict.fromkeys(heldout.FAMILIES, 10)
    assert all(1e6 <= cost(task).flops <= 20e6 for task in suite.tasks)
    assert len({task.static_hash for task in suite.tasks}) == 40
    protocol = suite.protocol
    assert (protocol.steps, protocol.seeds, protocol.baseline_multiple) == (2_000, 3, 10)
    assert protocol.learning_rates is None
    assert heldout.SEED < FIRST_TRAINING_SEED


def test_saturated_tasks_are_left_out(suite):
    assert not heldout.SATURATED & {task.hash[:16] for task in suite.tasks}
    first = {spec.hash[:16] for spec in heldout.candidates("mlp")[:11]}
    assert first >= heldout.SATURATED


def test_tasks_on_new_data_have_a_name_that_says_so(suite):
    new = [task for task in suite.tasks if task.name.endswith("-new-data")]
    assert {task.data.name for task in new} == set(HELD_OUT_DATA)
    assert new == [task for task in suite.tasks if task.data.name in HELD_OUT_DATA]
    assert len(new) == 8
    assert load_suite("heldout-40/photos").tasks == tuple(new)


def test_eight_of_the_forty_two_of_each_family(suite):
    few = load_suite("heldout-8")
    assert Counter(task.family for task in few.tasks) == dict.fromkeys(heldout.FAMILIES, 2)
    assert set(few.tasks) <= set(suite.tasks)
    protocol = few.protocol
    assert (protocol.steps, protocol.baseline_multiple) == (2_000, 2)
    assert protocol.learning_rates == (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)


def test_widths_differ_in_the_hidden_layers_alone():
    few, wide = load_suite("heldout-8"), load_suite("heldout-8-width")
    assert wide.protocol == few.protocol
    assert [task.name for task in wide.tasks] == [
        f"{task.name}-x{times}" for times in (1, 4, 16) for task in few.tasks
    ]
    assert [task.hash for task in wide.tasks[:8]] == [task.hash for task in few.tasks]
    for task, times in zip(wide.tasks[8:], [4] * 8 + [16] * 8, strict=True):
        one = next(other for other in few.tasks if task.name == f"{other.name}-x{times}")
        before, after = vars(one.config), vars(task.config)
        changed = {
            name: after[name] / before[name] for name in after if after[name] != before[name]
        }
        assert changed == {heldout.WIDTH_FIELDS[task.family]: times}
        assert (task.batch_size, task.data) == (one.batch_size, one.data)
        assert times * cost(one).flops / 3 < cost(task).flops < 3e9


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "velo-tiny" else [pytest.mark.long])
        for name in builtin_configs()
    ],
)
def test_no_built_in_config_trains_on_a_held_out_program(name, suite):
    tasks = load_plan(name).tasks
    used = {
        spec.static_hash
        for seed, count in (
            (tasks.seed, tasks.per_family),
            (tasks.validation_seed, tasks.validation_per_family),
        )
        for spec in sample_pool(tasks, seed=seed, per_family=count)
    }
    assert not used & {task.static_hash for task in suite.tasks}


def test_the_sprint_is_what_its_rule_says():
    suite = load_suite("sprint")
    assert Counter(task.family for task in suite.tasks) == dict.fromkeys(heldout.FAMILIES, 3)
    assert all(
        1e6 <= cost(task).flops <= 10e6 and cost(task).params >= 1_000 for task in suite.tasks
    )
    for family in ("mlp", "cnn"):
        data = {task.data.name for task in suite.tasks if task.family == family}
        assert data == {"digits", "mnist5k", "photos"}
    assert choose_sprint.SEED < FIRST_TRAINING_SEED
    assert not {task.hash for task in suite.tasks} & {
        task.hash for name in ("demo", "heldout-40") for task in load_suite(name).tasks
    }
