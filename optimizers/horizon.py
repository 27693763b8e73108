"""Optimizers with a wrong number of steps declared, to see how much they depend on it."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.spec import OptimizerSpec

if TYPE_CHECKING:
    import optax

#: How names ``horizon:FACTOR:OPTIMIZER`` begin.
PREFIX = "horizon:"


def from_name(name: str, get: Callable[[str], OptimizerSpec]) -> OptimizerSpec:
    """Return the optimizer ``horizon:FACTOR:OPTIMIZER``; ``get`` finds OPTIMIZER.

    Raises:
      SpecError: The name has another form, or the optimizer does not need ``num_steps``.
    """
    text, _, optimizer = name.removeprefix(PREFIX).partition(":")
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not (0 < factor < math.inf and optimizer):
        form = "horizon:FACTOR:OPTIMIZER with a positive factor, such as horizon:0.25:velo"
        raise SpecError("optimizer", name, form)
    spec = get(optimizer)
    return with_declared_horizon(spec, factor, name=f"{PREFIX}{text}:{spec.name}")


def with_declared_horizon(spec: OptimizerSpec, factor: float, *, name: str) -> OptimizerSpec:
    """Return an optimizer that is made for ``factor`` times the steps of the run.

    Args:
      spec: An optimizer that needs ``num_steps``.
      factor: Positive; the declared number is rounded, and at least 1.

    Raises:
      SpecError: The optimizer does not need ``num_steps``.
    """
    if "num_steps" not in spec.needs:
        allowed = f"for an optimizer that needs num_steps, which {spec.name} does not"
        raise SpecError("optimizer", name, allowed)

    # The signature stays that of the factory: `OptimizerSpec` reads it.
    @functools.wraps(spec.factory)
    def declared(*, num_steps: int, **hyperparameters: object) -> optax.GradientTransformation:
        return spec.factory(num_steps=max(1, round(factor * num_steps)), **hyperparameters)

    return dataclasses.replace(
        spec,
        name=name,
        # Stores that were published contain this label: do not reword it.
        label=f"{spec.label}, told {factor:g} x the steps",
        factory=declared,
        identity={**spec.identity, "horizon_factor": factor},
    )
