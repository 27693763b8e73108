"""The pool of inner tasks keeps out of evaluation's seeds, and its problems are pure functions."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import velodrome.optimizers.velo.weights
from velodrome.foundation.errors import SpecError
from velodrome.optimizers.metatrain.config.config import load_plan
from velodrome.optimizers.metatrain.config.inner import (
    FIRST_TRAINING_SEED,
    HELD_OUT_DATA,
    TasksConfig,
)
from velodrome.optimizers.metatrain.es.tasks import (
    augmented,
    check_vary,
    draw_problems,
    open_task,
    pool_hash,
    sample_pool,
)
from velodrome.suites.catalog import load_suite
from velodrome.taskgen.sampler import sample
from velodrome.taskgen.space.draws import NamedRng
from velodrome.taskgen.spec import TaskSpec

WEIGHTS = Path(velodrome.optimizers.velo.weights.__file__).parent / "builtin"
CONFIG = TasksConfig(per_family=3, max_mflop=1.0)


def test_families_take_turns_and_no_two_programs_are_alike():
    specs = sample_pool(CONFIG, seed=CONFIG.seed, per_family=3)
    assert [spec.family for spec in specs] == ["mlp", "cnn", "rnn", "transformer"] * 3
    assert len({spec.static_hash for spec in specs}) == len(specs)
    again = sample_pool(CONFIG, seed=CONFIG.seed, per_family=3)
    assert pool_hash(again) == pool_hash(specs)


def test_reserved_seeds_are_refused():
    with pytest.raises(SpecError, match="tasks.seed"):
        sample_pool(CONFIG, seed=FIRST_TRAINING_SEED - 1, per_family=1)


@pytest.fixture(scope="module")
def trained() -> list[TaskSpec]:
    """The tasks that the built-in weights were trained on, by their card."""
    card = json.loads((WEIGHTS / "velo-tiny.json").read_text())["training"]
    config = load_plan("velo-tiny")
    assert card["config"]["tasks"] == config.to_json()["tasks"]
    config = config.tasks
    specs = sample_pool(config, seed=config.seed, per_family=config.per_family)
    assert not {spec.data.name for spec in specs} & set(HELD_OUT_DATA)
    assert pool_hash(specs) == card["tasks_hash"]
    assert len(specs) == card["tasks"]
    return specs


@pytest.mark.parametrize("suite", ["demo", "smoke"])
def test_tasks_of_built_in_suites_are_not_among_those_of_the_built_in_weights(trained, suite):
    shown = {spec.static_hash: spec.label for spec in load_suite(suite).tasks}
    assert not {spec.label for spec in trained if spec.static_hash in shown}


@pytest.mark.parametrize(
    ("seed", "count"),
    [(0, 8)]
    + [pytest.param(seed, 32, marks=pytest.mark.long) for seed in (0, 1, FIRST_TRAINING_SEED - 1)],
)
def test_tasks_of_evaluation_seeds_are_not_among_those_of_the_built_in_weights(
    trained, seed, count
):
    """Not even with other dynamic values, such as another initialiser."""
    used = {spec.static_hash for spec in trained}
    assert len(used) == len(trained)
    for family in {spec.family for spec in trained}:
        for cap in (6.0, None):
            drawn = sample(count, seed=seed, family=family, data="built-in", max_mflop=cap)
            assert len({spec.static_hash for spec in drawn}) > count / 2
            assert not [spec.label for spec in drawn if spec.static_hash in used]


def test_excluded_data_sets_stay_out():
    config = dataclasses.replace(CONFIG, families=("mlp", "cnn"), exclude_data=("photos",))
    specs = sample_pool(config, seed=config.seed, per_family=4)
    assert {spec.data.name for spec in specs} == {"digits", "mnist5k"}
    config = dataclasses.replace(CONFIG, exclude_data=("kjv", "photos"))
    with pytest.raises(SpecError, match="tasks.per_family: .* at most 0 for the family 'rnn'"):
        sample_pool(config, seed=config.seed, per_family=1)


def test_names_that_vary_nowhere_are_refused():
    check_vary(["init_scale"], ["mlp", "rnn"])
    with pytest.raises(SpecError, match="tasks.vary: got 'init_scal'"):
        check_vary(["init_scal"], ["mlp"])


@pytest.fixture(scope="module")
def inner():
    (spec,) = sample_pool(
        TasksConfig(families=("mlp",), max_mflop=0.05), seed=CONFIG.seed, per_family=1
    )
    return open_task(spec, vary=("init_scale", "no field of this family"))


def test_problems_are_a_pure_function_and_differ(inner):
    def make(seed: int):
        return draw_problems(inner, NamedRng(seed, "test"), count=3, batches=7)

    one, same, other = make(1), make(1), make(2)
    for a, b, c in zip(*map(jax.tree.leaves, (one, same, other)), strict=True):
        a, b, c = (
            jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
            for x in (a, b, c)
        )
        np.testing.assert_array_equal(a, b)
        assert a.shape[0] == 3
        assert not np.array_equal(a, c)
    assert one.indices.shape == (3, 7, inner.spec.batch_size)
    assert set(one.dynamic) == {"init_scale"}


def test_augmentations_follow_from_the_spec_and_their_values_from_the_problem():
    config = dataclasses.replace(CONFIG, augmentations={"reparam_weights": 1.0, "es": 0.5})
    specs = sample_pool(config, seed=config.seed, per_family=3)
    first, again = ([augmented(spec, config) for spec in specs] for _ in range(2))
    assert first == again
    names = [[entry.name for entry in spec.augmentations] for spec in first]
    assert all("reparam_weights" in some for some in names)
    assert 0 < sum("es" in some for some in names) < len(names)
    inner = open_task(first[0], vary=())
    problems = draw_problems(inner, NamedRng(3, "test"), count=64, batches=1)
    levels = np.asarray(problems.dynamic["reparam_weights.level"])
    assert set(levels) == {0, 1, 2, 3}
    assert len(set(np.asarray(problems.dynamic["reparam_weights.seed"]))) == 64
    assert set(np.asarray(problems.dynamic["reparam_weights.range"])) == {10.0, 100.0, 1000.0}
