"""`OptimizerRef`: an optimizer as plans, shards and reports refer to it, and what its name says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_IMPORTED = "imported:"
#: `velodrome.optimizers.horizon` makes such optimizers, and has the same prefix.
_DECLARED = "horizon:"


@dataclass(frozen=True)
class OptimizerRef:
    """An optimizer: the name that it was asked for under, and what its numbers depend on.

    Attributes:
      version: Of an imported one, the number that came with its curves.
      identity: What its numbers depend on besides name and version, such as a hash of weights. An
        imported one has none: its code is not here, so nobody can train it.
    """

    name: str
    label: str
    version: int = 1
    identity: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of_import(cls, name: str, version: int) -> OptimizerRef:
        """Return the reference of an optimizer whose curves are imported under a name."""
        return cls(f"{_IMPORTED}{name}", f"{name} (imported)", version)

    @property
    def imported(self) -> bool:
        """Whether its curves were made elsewhere: they compare in steps, never in seconds."""
        return self.name.startswith(_IMPORTED)


def declared(name: str) -> tuple[float, str]:
    """Return the declared number of steps over the true one, and the optimizer that it is for.

    The name of an optimizer with a wrong number is ``horizon:FACTOR:OPTIMIZER``.
    """
    if not name.startswith(_DECLARED):
        return 1.0, name
    factor, _, optimizer = name.removeprefix(_DECLARED).partition(":")
    return float(factor), optimizer
