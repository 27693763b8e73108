"""A toy run: the built-in config "toy", made smaller still."""

from __future__ import annotations

import dataclasses

import pytest

from velodrome.optimizers.metatrain.config.config import MetaTrainConfig, load_config
from velodrome.optimizers.metatrain.config.inner import ArchitectureConfig


@pytest.fixture
def toy_config() -> MetaTrainConfig:
    toy = load_config("toy")
    return dataclasses.replace(
        toy,
        architecture=ArchitectureConfig(hidden=4, bank=2),
        tasks=dataclasses.replace(toy.tasks, per_family=1),
        phases=(dataclasses.replace(toy.phases[0], until=2, low=10, high=15),),
        unroll=dataclasses.replace(toy.unroll, low=10, high=20),
        estimator=dataclasses.replace(toy.estimator, pairs=2, tasks_per_step=1),
        outer=dataclasses.replace(toy.outer, steps=4, warmup=1),
        record=dataclasses.replace(
            toy.record, validate_every=4, validation_steps=20, validation_seeds=2
        ),
    )
