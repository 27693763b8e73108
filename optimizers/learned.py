"""VeLO as it takes part in a comparison: no hyperparameters, and weights that are told apart."""

from __future__ import annotations

from functools import partial
from typing import Any

import optax

from velodrome.optimizers.spec import OptimizerSpec


def velo_spec(weights: str, *, name: str | None = None) -> OptimizerSpec:
    """Returns VeLO with the given weights.

    Args:
      weights: A name or a path of weights.
      name: The optimizer's name. Default: ``"velo:WEIGHTS"``.

    Raises:
      UnknownNameError: There are no weights of that name.
      WeightsError: The file is missing or damaged, or holds something else.
    """
    from velodrome.optimizers.velo.weights.store import (
        load_weights,
        meta_training_cost,
        weights_hash,
        weights_label,
    )

    return OptimizerSpec(
        name=name or f"velo:{weights}",
        label=weights_label(weights),
        # Loaded once, so that a file that changes later cannot change a running comparison.
        factory=partial(_velo, weights=load_weights(weights)),
        needs=frozenset({"value", "num_steps"}),
        identity={"weights": weights_hash(weights)},
        meta_training=meta_training_cost(weights),
    )


def velo_tiny() -> OptimizerSpec:
    """Returns VeLO with the built-in weights, the optimizer ``"velo"``."""
    return velo_spec("velo-tiny", name="velo")


def _velo(num_steps: int, *, weights: Any) -> optax.GradientTransformationExtraArgs:
    from velodrome.optimizers.velo.optimizer import velo

    return velo(num_steps, weights=weights)
