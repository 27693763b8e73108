"""Optimizers given by import path: any factory of optax transformations becomes a spec."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import UnknownNameError, VelodromeError
from velodrome.foundation.files import sha256_file
from velodrome.optimizers.spec import LEARNING_RATES, OptimizerSpec, required_arguments

#: What optax's own optimizers need at each update; their signatures do not show it.
_OPTAX_NEEDS: dict[str, frozenset[str]] = {
    "lbfgs": frozenset({"value", "grad", "value_fn"}),
    "polyak_sgd": frozenset({"value"}),
    "contrib.momo": frozenset({"value"}),
    "contrib.momo_adam": frozenset({"value"}),
    "contrib.reduce_on_plateau": frozenset({"value"}),
}


def load(name: str) -> Any:
    """Returns the object at ``"module:attribute"``; dots may go on after the colon.

    Raises:
      VelodromeError: The module cannot be imported.
      UnknownNameError: It has no such attribute; the message has the closest ones.
    """
    module_name, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise VelodromeError(
            f"the optimizer {name!r} cannot be loaded: {error}. Give module:factory, with the "
            "module installed, or path/to/file.py:factory."
        ) from error
    for attribute in path.split("."):
        if inspect.ismodule(found) and not hasattr(found, attribute):
            _import_submodule(found.__name__, attribute)
        if not hasattr(found, attribute):
            public = [known for known in dir(found) if not known.startswith("_")]
            raise UnknownNameError(f"object in {module_name}", attribute, public)
        found = getattr(found, attribute)
    return found


def as_spec(name: str, found: OptimizerSpec | Callable[..., Any]) -> OptimizerSpec:
    """Makes an `OptimizerSpec` of what was found under ``name``.

    A callable without arguments may return an `OptimizerSpec` or an optax transformation. Any
    other callable is a factory: its ``learning_rate`` is swept over the published rates and its
    ``num_steps`` is given; it may have no other argument without a default. Attributes
    ``needs`` and ``eval_params`` of the factory are taken over.

    Raises:
      VelodromeError: The callable has arguments that nothing is known to be given for.
    """
    if isinstance(found, OptimizerSpec):
        return found
    parameters = inspect.signature(found).parameters
    if missing := required_arguments(found) - {"learning_rate", "num_steps"}:
        raise VelodromeError(
            f"the optimizer {name!r} has arguments without a default that nothing is known for: "
            f"{', '.join(sorted(missing))}. Give defaults, or an OptimizerSpec instead of the "
            "factory."
        )
    if not parameters:
        made = found()
        if isinstance(made, OptimizerSpec):
            return made
    swept = "learning_rate" in parameters
    needs = frozenset(getattr(found, "needs", frozenset()))
    if "num_steps" in parameters:
        needs |= {"num_steps"}
    module, _, attribute = name.partition(":")
    if module == "optax":
        needs |= _OPTAX_NEEDS.get(attribute, frozenset())
    return OptimizerSpec(
        name=name,
        label=attribute.rpartition(".")[2] or name,
        factory=found,
        grid={"learning_rate": LEARNING_RATES} if swept else {},
        traced=frozenset({"learning_rate"}) if swept else frozenset(),
        needs=needs,
        identity={"file": sha256_file(Path(module).expanduser())} if module.endswith(".py") else {},
        eval_params=getattr(found, "eval_params", _optax_eval_params(module, attribute)),
    )


def _import_submodule(package: str, name: str) -> None:
    try:
        importlib.import_module(f"{package}.{name}")
    except ImportError:
        return  # not a submodule: the caller reports what the module does have


def _optax_eval_params(module: str, attribute: str) -> Callable[[Any, Any], Any] | None:
    if module == "optax" and attribute.startswith("contrib.schedule_free"):
        from optax.contrib import schedule_free_eval_params

        return schedule_free_eval_params
    return None
