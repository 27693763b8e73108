"""The held-out tasks are what is promised: counts, limits, seeds, and data kept from training."""

from __future__ import annotations

from collections import Counter

import pytest

from optimizers.metatrain import builtin_configs, load_config
from optimizers.metatrain.config import FIRST_TRAINING_SEED, HELD_OUT_DATA
from optimizers.metatrain.tasks import sample_pool
from suites import heldout
from suites.suite import load_suite
from taskgen import cost


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


@pytest.mark.parametrize("name", builtin_configs())
def test_no_built_in_config_trains_on_a_held_out_program(name, suite):
    tasks = load_config(name).tasks
    used = {
        spec.static_hash
        for seed, count in (
            (tasks.seed, tasks.per_family),
            (tasks.validation_seed, tasks.validation_per_family),
        )
        for spec in sample_pool(tasks, seed=seed, per_family=count)
    }
    assert not used & {task.static_hash for task in suite.tasks}
