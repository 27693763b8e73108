"""A toy run: two of the cheapest tasks there are, for a learned optimizer of four units."""

from __future__ import annotations

import pytest

from optimizers.metatrain import MetaTrainConfig


@pytest.fixture
def toy_config() -> MetaTrainConfig:
    return MetaTrainConfig.from_json(
        {
            "seed": 5,
            "architecture": {"hidden": 4, "bank": 2},
            "tasks": {
                "families": ["mlp"],
                "per_family": 1,
                "max_mflop": 0.05,
                "vary": ["init_scale"],
                "validation_per_family": 1,
                "augmentations": {"reparam_weights": 1.0},
            },
            "unroll": {"low": 10, "high": 20},
            "estimator": {"pairs": 2, "tasks_per_step": 1, "sigma": 0.02},
            "outer": {"steps": 4, "learning_rate": 0.01, "warmup": 1},
            "record": {"validate_every": 4, "validation_steps": 20, "validation_seeds": 2},
        }
    )
