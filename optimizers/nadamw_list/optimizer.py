"""``nadamw_list:K``: the first K trials of the list, as an optimizer of a comparison."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.nadamw_list.trials import LENGTH, SHA256, NAdamWTrial, load_trials
from velodrome.optimizers.spec import OptimizerSpec

if TYPE_CHECKING:
    import jax
    import optax

#: How names ``nadamw_list:K`` begin.
PREFIX = "nadamw_list:"


def from_name(name: str, get: Callable[[str], OptimizerSpec]) -> OptimizerSpec:
    """Return NAdamW with the first K trials of ``nadamw_list:K`` as its sweep.

    Raises:
      SpecError: K is no number of trials.
      DataError: More than ten trials are asked for, and the published file was not fetched.
    """
    del get  # it stands for no other optimizer
    text = name.removeprefix(PREFIX)
    count = int(text) if text.isdecimal() and text.isascii() else 0
    if not 1 <= count <= LENGTH or text != str(count):
        raise SpecError("optimizer", name, f"nadamw_list:K with K from 1 to {LENGTH}")
    return _spec(name, count)


def first_ten() -> OptimizerSpec:
    """Return the optimizer ``"nadamw_list:10"``, which needs no file."""
    return _spec(f"{PREFIX}10", 10)


def _spec(name: str, count: int) -> OptimizerSpec:
    return OptimizerSpec(
        name=name,
        label=f"NAdamW list ({count:,})",
        factory=partial(_nadamw_trial, trials=load_trials(count)),
        grid={"trial": tuple(range(count))},
        traced=frozenset({"trial"}),
        needs=frozenset({"num_steps"}),
        identity={"list": SHA256},
    )


def _nadamw_trial(
    trial: int | float | jax.Array, num_steps: int, *, trials: tuple[NAdamWTrial, ...]
) -> optax.GradientTransformation:
    from velodrome.optimizers.nadamw_list.transform import (  # noqa: PLC0415 - imports jax
        nadamw_trial,
    )

    return nadamw_trial(trial, num_steps, trials=trials)
