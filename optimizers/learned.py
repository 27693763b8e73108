"""VeLO as an optimizer of a comparison: no hyperparameters, and a label that names its weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.optimizers.velo.weights.store import read_weights
from velodrome.optimizers.velo.weights.tree import VeLOWeights

if TYPE_CHECKING:
    import optax

#: How names ``velo:WEIGHTS`` begin.
PREFIX = "velo:"


def from_name(name: str, get: Callable[[str], OptimizerSpec]) -> OptimizerSpec:
    """Return VeLO with the weights of ``velo:WEIGHTS``.

    Raises:
      SpecError: No weights are named.
      UnknownNameError: No weights have that name.
      WeightsError: The file is missing or damaged, or holds something else.
    """
    del get  # weights are no optimizer
    if name == PREFIX:
        raise SpecError(
            "optimizer",
            name,
            "velo: with the name or path of weights after the colon, such as "
            "velo:velo-tiny (`velodrome weights list` shows the names)",
        )
    return _spec(portable(name), name.removeprefix(PREFIX))


def portable(name: str) -> str:
    """Return ``velo:WEIGHTS`` without the folders of a file of weights."""
    return f"{PREFIX}{Path(name.removeprefix(PREFIX)).name}"


def velo_tiny() -> OptimizerSpec:
    """Return VeLO with the built-in weights, the optimizer ``"velo"``."""
    return _spec("velo", "velo-tiny")


def _spec(name: str, weights: str) -> OptimizerSpec:
    # One read for all of it: a file that changes while it is in use changes neither a running
    # comparison nor what its results say about the weights.
    loaded = read_weights(weights)
    return OptimizerSpec(
        name=name,
        label=loaded.label,
        factory=partial(_velo, weights=loaded.weights),
        needs=frozenset({"value", "num_steps"}),
        identity={"weights": loaded.content_hash},
        meta_training=loaded.cost,
    )


def _velo(
    num_steps: int, *, weights: VeLOWeights, weight_decay: float = 0.0
) -> optax.GradientTransformationExtraArgs:
    from velodrome.optimizers.velo.optimizer import velo  # noqa: PLC0415 - imports jax

    return velo(num_steps, weights=weights, weight_decay=weight_decay)
