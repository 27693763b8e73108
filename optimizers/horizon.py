"""Optimizers that are told another number of steps than they make: how much they depend on it."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.spec import OptimizerSpec

#: Names that begin with it are ``horizon:FACTOR:OPTIMIZER``.
PREFIX = "horizon:"


def read_name(name: str) -> tuple[float, str]:
    """Returns the factor and the optimizer's name of ``horizon:FACTOR:OPTIMIZER``.

    Raises:
      SpecError: It is not of that form, or the factor is not positive.
    """
    text, _, optimizer = name.removeprefix(PREFIX).partition(":")
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not (0 < factor < math.inf and optimizer):
        form = "horizon:FACTOR:OPTIMIZER with a positive factor, such as horizon:0.25:velo"
        raise SpecError("optimizer", name, form)
    return factor, optimizer


def with_declared_horizon(spec: OptimizerSpec, factor: float, *, name: str) -> OptimizerSpec:
    """Returns the optimizer, told ``factor`` times the number of steps that it will make.

    Args:
      spec: An optimizer that needs ``num_steps``.
      factor: Positive; the number told is rounded, and at least 1.
      name: The name of the new one.

    Raises:
      SpecError: The optimizer does not ask how many steps there will be.
    """
    if "num_steps" not in spec.needs:
        allowed = f"for an optimizer that needs num_steps, which {spec.name} does not"
        raise SpecError("optimizer", name, allowed)

    # The signature stays that of the factory: `OptimizerSpec` reads it.
    @functools.wraps(spec.factory)
    def told(*, num_steps: int, **hyperparameters: Any) -> Any:
        return spec.factory(num_steps=max(1, round(factor * num_steps)), **hyperparameters)

    return dataclasses.replace(
        spec,
        name=name,
        label=f"{spec.label}, told {factor:g} x the steps",
        factory=told,
        identity={**spec.identity, "horizon_factor": factor},
    )
