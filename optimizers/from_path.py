"""Optimizers by import path: any factory of optax transformations becomes a spec."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import UnknownNameError, VelodromeError
from velodrome.foundation.files import sha256_file
from velodrome.optimizers.spec import LEARNING_RATES, OptimizerSpec, required_arguments


def load(name: str) -> Any:
    """Return the object at ``"module:attribute"``; the attribute may have dots.

    Raises:
      VelodromeError: The module cannot be imported.
      UnknownNameError: It has no such attribute; the message has the closest ones.
    """
    module_name, _, path = name.partition(":")
    try:
        found: object = importlib.import_module(module_name)
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
    module, _, attribute = name.partition(":")
    return OptimizerSpec(
        name=name,
        label=attribute.rpartition(".")[2] or name,
        factory=found,
        grid={"learning_rate": LEARNING_RATES} if swept else {},
        traced=frozenset({"learning_rate"}) if swept else frozenset(),
        needs=needs,
        identity={"file": sha256_file(Path(module).expanduser())} if module.endswith(".py") else {},
        eval_params=getattr(found, "eval_params", None),
    )


def _import_submodule(package: str, name: str) -> None:
    try:
        importlib.import_module(f"{package}.{name}")
    except ImportError:
        return  # not a submodule: the caller reports what the module does have
