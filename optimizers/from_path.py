"""Optimizers by import path: any factory of optax transformations becomes a spec."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.place import Place, portable
from velodrome.optimizers.spec import LEARNING_RATES, OptimizerSpec, required_arguments


def as_spec(name: str, found: OptimizerSpec | Callable[..., Any]) -> OptimizerSpec:
    """Make an `OptimizerSpec` of the object found under ``name``.

    A callable without arguments may return an `OptimizerSpec` or an optax transformation. Any
    other callable is a factory: its ``learning_rate`` is swept over the published rates and its
    ``num_steps`` is given; every other argument needs a default. Attributes ``needs`` and
    ``eval_params`` of the factory are used.

    Raises:
      VelodromeError: Another argument has no default.
    """
    if isinstance(found, OptimizerSpec):
        return found
    parameters = inspect.signature(found).parameters
    if missing := required_arguments(found) - {"learning_rate", "num_steps"}:
        raise VelodromeError(
            f"the optimizer {name!r} has arguments without a default and without a known value: "
            f"{', '.join(sorted(missing))}. Give defaults, or an OptimizerSpec instead of the "
            "factory."
        )
    if not parameters:
        try:
            made = found()
        except VelodromeError:
            raise  # it says what is wrong, and what to do
        except Exception as error:  # a user's function may raise anything
            raise VelodromeError(
                f"the factory of the optimizer {name!r} failed: {type(error).__name__}: {error}"
            ) from error
        if isinstance(made, OptimizerSpec):
            return made
    swept = "learning_rate" in parameters
    needs = frozenset(getattr(found, "needs", frozenset()))
    if "num_steps" in parameters:
        needs |= {"num_steps"}
    place = Place.of(name) or Place("", name)
    return OptimizerSpec(
        name=portable(name),
        label=place.attribute.rpartition(".")[2],
        factory=found,
        grid={"learning_rate": LEARNING_RATES} if swept else {},
        traced=frozenset({"learning_rate"}) if swept else frozenset(),
        needs=needs,
        eval_params=getattr(found, "eval_params", None),
    )
