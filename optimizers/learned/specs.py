"""The published learned optimizers as `OptimizerSpec`s: what each needs, and what can be swept."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from velodrome.optimizers.learned.weights.store import read_published
from velodrome.optimizers.learned.weights.trees import (
    AdafacMLPWeights,
    Celo2Weights,
    CeloWeights,
    RNNMLPWeights,
    SchedulerWeights,
)
from velodrome.optimizers.spec import LEARNING_RATES, OptimizerSpec
from velodrome.optimizers.velo.weights.tree import VeLOWeights

if TYPE_CHECKING:
    import optax

# Every factory imports its optimizer when it is called: listing optimizers needs no jax.


def _celo(
    num_steps: int, *, weights: CeloWeights, weight_decay: float = 0.0
) -> optax.GradientTransformationExtraArgs:
    from velodrome.optimizers.learned.celo import celo  # noqa: PLC0415 - imports jax

    return celo(num_steps, weights=weights, weight_decay=weight_decay)


def _celo_adam(
    num_steps: int, *, weights: SchedulerWeights, weight_decay: float = 0.0
) -> optax.GradientTransformationExtraArgs:
    from velodrome.optimizers.learned.celo_adam import celo_adam  # noqa: PLC0415 - imports jax

    return celo_adam(num_steps, weights=weights, weight_decay=weight_decay)


def _celo2(
    learning_rate: optax.ScalarOrSchedule,
    *,
    weights: Celo2Weights,
    weight_decay: float = 0.0,
    adam_for: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    from velodrome.optimizers.learned.celo2 import celo2  # noqa: PLC0415 - imports jax

    return celo2(learning_rate, weights=weights, weight_decay=weight_decay, adam_for=adam_for)


def _celo2_base(
    learning_rate: optax.ScalarOrSchedule, *, weights: Celo2Weights, weight_decay: float = 0.0
) -> optax.GradientTransformationExtraArgs:
    from velodrome.optimizers.learned.celo2 import celo2_base  # noqa: PLC0415 - imports jax

    return celo2_base(learning_rate, weights=weights, weight_decay=weight_decay)


def _velo_s(
    num_steps: int, *, weights: VeLOWeights, weight_decay: float = 0.0
) -> optax.GradientTransformationExtraArgs:
    from velodrome.optimizers.velo.optimizer import velo_from_theta  # noqa: PLC0415 - imports jax

    # Its networks are the mean over the bank itself, and gradients never accumulate.
    return velo_from_theta(
        weights,
        num_steps,
        weight_decay=weight_decay,
        max_training_steps=num_steps,
        mixture_scale=1.0,
    )


def _adafac_mlp(*, weights: AdafacMLPWeights) -> optax.GradientTransformationExtraArgs:
    from velodrome.optimizers.learned.adafac_mlp import adafac_mlp  # noqa: PLC0415 - imports jax

    return adafac_mlp(weights=weights)


def _rnn_mlp(*, weights: RNNMLPWeights) -> optax.GradientTransformationExtraArgs:
    from velodrome.optimizers.learned.rnn_mlp import rnn_mlp  # noqa: PLC0415 - imports jax

    return rnn_mlp(weights=weights)


@dataclass(frozen=True)
class _Form:
    """What `OptimizerSpec` has for one published optimizer, whatever its weights."""

    factory: Callable[..., Any]
    needs: frozenset[str] = frozenset()
    grid: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    traced: frozenset[str] = frozenset()


_SCHEDULED = frozenset({"value", "num_steps"})

# Celo2 has a rate to choose; its authors name no sweep, so it is that of the other optimizers.
_RATES = {"learning_rate": LEARNING_RATES}
_RATE = frozenset(_RATES)

_FORMS: Mapping[str, _Form] = {
    "celo": _Form(_celo, _SCHEDULED),
    "celo-adam": _Form(_celo_adam, _SCHEDULED),
    "celo2": _Form(_celo2, grid=_RATES, traced=_RATE),
    "celo2-base": _Form(_celo2_base, grid=_RATES, traced=_RATE),
    "velo-s": _Form(_velo_s, _SCHEDULED),
    "adafac-mlp": _Form(_adafac_mlp),
    "rnn-mlp": _Form(_rnn_mlp, frozenset({"value"})),
}


def published_spec(
    optimizer: str, *, name: str | None = None, path: str | os.PathLike[str] | None = None
) -> OptimizerSpec:
    """Return a published learned optimizer, with the published weights or those at a path.

    Raises:
      UnknownNameError: It has not been published.
      WeightsError: The weights are missing, damaged, or of something else.
    """
    loaded = read_published(optimizer, path)
    form = _FORMS[optimizer]
    return OptimizerSpec(
        name=name or optimizer,
        label=loaded.label,
        factory=partial(form.factory, weights=loaded.weights),
        grid=form.grid,
        traced=form.traced,
        needs=form.needs,
        identity={"weights": loaded.content_hash},
        meta_training=loaded.cost,
    )


def _with_published_weights(optimizer: str) -> Callable[[], OptimizerSpec]:
    return lambda: published_spec(optimizer)


# What the registry finds, by the names with underscores.
celo, celo_adam, celo2, celo2_base, velo_s, adafac_mlp, rnn_mlp = (
    _with_published_weights(name)
    for name in ("celo", "celo-adam", "celo2", "celo2-base", "velo-s", "adafac-mlp", "rnn-mlp")
)
