"""The optimizers by name, and any other by where to find it."""

from __future__ import annotations

from typing import Any

from velodrome.foundation.errors import SpecError, VelodromeError
from velodrome.foundation.registry import Registry
from velodrome.optimizers import from_path as importing
from velodrome.optimizers import horizon
from velodrome.optimizers.spec import OptimizerSpec


def _check(name: str, value: Any) -> None:
    if not isinstance(value, OptimizerSpec) and not callable(value):
        raise VelodromeError(
            f"{name!r} is not an optimizer: expected an OptimizerSpec or a factory of optax "
            f"transformations, found {type(value).__name__}."
        )


class OptimizerRegistry(Registry[OptimizerSpec]):
    """The optimizers by name, and any other by where to find it.

    ``get`` takes a registered name (``"adam"``), the name of an entry point in the group
    ``velodrome.optimizers``, an import path of an `OptimizerSpec` or a plain factory
    (``"optax:lion"``, ``"mypackage.module:factory"``, ``"path/to/file.py:factory"``), or
    ``"velo:WEIGHTS"``, where WEIGHTS is a name or a path of weights. ``"horizon:FACTOR:NAME"``
    is any of these, told FACTOR times the number of steps that it makes.
    """

    def __init__(self) -> None:
        super().__init__(
            "optimizer",
            group="velodrome.optimizers",
            check=_check,
            definition=lambda optimizer: getattr(optimizer, "factory", optimizer),
        )

    def get(self, name: str) -> OptimizerSpec:
        """Returns the `OptimizerSpec` that ``name`` stands for; see the class.

        Raises:
          UnknownNameError: Nothing has that name; the message has the closest ones.
          SpecError: It says ``velo:`` without any weights.
          VelodromeError: It was found, but cannot be loaded, or is not an optimizer.
        """
        if name.startswith(horizon.PREFIX):
            factor, inner = horizon.read_name(name)
            return horizon.with_declared_horizon(self.get(inner), factor, name=name)
        if name.startswith("velo:"):
            from velodrome.optimizers.learned import velo_spec

            if name == "velo:":
                raise SpecError(
                    "optimizer",
                    name,
                    "velo: with the name or path of weights after the colon, such as "
                    "velo:velo-tiny (`velodrome weights list` shows the names)",
                )
            return velo_spec(name.removeprefix("velo:"))
        if ":" in name and ".py:" not in name:
            found: Any = importing.load(name)
            _check(name, found)
        else:
            found = super().get(name)
        return importing.as_spec(name, found)


optimizers = OptimizerRegistry()
for _name in (
    *("adam", "adam_sqrt_decay", "adam_exp_decay", "adamw", "radam", "adabelief", "yogi", "lamb"),
    *("sgd", "sgdm", "rmsprop", "rmsprop_momentum", "adagrad", "adafactor", "lars", "fromage"),
    *("sm3", "sm3_b2", "lion", "muon", "schedule_free_adamw"),
):
    optimizers.register_lazy(_name, f"velodrome.optimizers.baselines:{_name}")
optimizers.register_lazy("velo", "velodrome.optimizers.learned:velo_tiny")
