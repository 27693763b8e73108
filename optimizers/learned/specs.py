"""The published learned optimizers as `OptimizerSpec`s: what each needs, and what can be swept."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from velodrome.optimizers.learned.weights.store import read_published
from velodrome.optimizers.learned.weights.trees import CeloWeights
from velodrome.optimizers.spec import OptimizerSpec

if TYPE_CHECKING:
    import optax

# Every factory imports its optimizer when it is called: listing optimizers needs no jax.


def _celo(
    num_steps: int, *, weights: CeloWeights, weight_decay: float = 0.0
) -> optax.GradientTransformationExtraArgs:
    from velodrome.optimizers.learned.celo import celo  # noqa: PLC0415 - imports jax

    return celo(num_steps, weights=weights, weight_decay=weight_decay)


@dataclass(frozen=True)
class _Form:
    """What `OptimizerSpec` has for one published optimizer, whatever its weights."""

    factory: Callable[..., Any]
    needs: frozenset[str] = frozenset()
    grid: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    traced: frozenset[str] = frozenset()


_SCHEDULED = frozenset({"value", "num_steps"})

_FORMS: Mapping[str, _Form] = {
    "celo": _Form(_celo, _SCHEDULED),
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


def celo() -> OptimizerSpec:
    return published_spec("celo")
