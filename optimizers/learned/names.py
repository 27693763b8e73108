"""Learned optimizers as optimizers of a comparison; their labels name their weights.

``velo:WEIGHTS`` is VeLO. Each published optimizer is a name, for the published weights, and a
prefix for others: ``celo`` and ``celo:PATH``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.learned.specs import published_spec
from velodrome.optimizers.learned.weights.published import PUBLISHED
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.optimizers.velo.weights.store import read_weights
from velodrome.optimizers.velo.weights.tree import VeLOWeights

if TYPE_CHECKING:
    import optax

_VELO = "velo"

#: How names with weights begin.
PREFIXES = tuple(f"{name}:" for name in (_VELO, *PUBLISHED))


def from_name(name: str, get: Callable[[str], OptimizerSpec]) -> OptimizerSpec:
    """Return a learned optimizer with weights, such as ``velo:WEIGHTS``.

    Raises:
      SpecError: No weights are named.
      UnknownNameError: No weights have that name.
      WeightsError: The file is missing or damaged, or holds something else.
    """
    del get  # weights are no optimizer
    optimizer, _, weights = name.partition(":")
    if optimizer == _VELO and not weights:
        raise SpecError(
            "optimizer",
            name,
            "velo: with the name or path of weights after the colon, such as "
            "velo:velo-tiny (`velodrome weights list` shows the names)",
        )
    if not weights:
        allowed = f"{name} with the path of weights, or {optimizer} alone for the published ones"
        raise SpecError("optimizer", name, allowed)
    if optimizer == _VELO:
        return _velo_spec(portable(name), weights)
    return published_spec(optimizer, name=portable(name), path=weights)


def portable(name: str) -> str:
    """Return ``velo:WEIGHTS`` without the folders of a file of weights."""
    optimizer, _, weights = name.partition(":")
    return f"{optimizer}:{Path(weights).name}"


def velo_tiny() -> OptimizerSpec:
    """Return VeLO with the built-in weights, the optimizer ``"velo"``."""
    return _velo_spec(_VELO, "velo-tiny")


def _velo_spec(name: str, weights: str) -> OptimizerSpec:
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
        most_steps=loaded.most_steps,
    )


def _velo(
    num_steps: int, *, weights: VeLOWeights, weight_decay: float = 0.0
) -> optax.GradientTransformationExtraArgs:
    from velodrome.optimizers.velo.optimizer import velo  # noqa: PLC0415 - imports jax

    return velo(num_steps, weights=weights, weight_decay=weight_decay)
