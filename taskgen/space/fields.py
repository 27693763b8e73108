"""Declare the fields of a family's config.

A config is a frozen dataclass whose fields are made by `static` (fixes the compiled
program: shapes) or `dynamic` (may be a traced array: activation, initialiser, scales).
Each carries the distribution it is sampled from and the range a user may set by hand, which is
usually wider.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from velodrome.taskgen.space.distributions import (
    Choice,
    Distribution,
    LogFloat,
    LogInt,
    UniformFloat,
    UniformInt,
    Value,
)

_METADATA = "velodrome"


@dataclass(frozen=True)
class FieldInfo:
    """What a config field declares besides its type and default.

    Attributes:
      distribution: Where the sampler draws it from.
      allowed: For numbers the inclusive range ``(low, high)``; for strings all values.
      dynamic: Whether it may be a traced array in a compiled program.
    """

    distribution: Distribution
    allowed: tuple[Any, ...]  # numbers that are compared, or strings
    dynamic: bool

    def describe_allowed(self, kind: type) -> str:
        """Return what a field of type ``kind`` accepts, in words."""
        if kind is bool:
            return "true or false"
        if kind is str:
            return "one of " + ", ".join(map(repr, self.allowed))
        article = "an integer" if kind is int else "a number"
        return f"{article} from {self.allowed[0]} to {self.allowed[1]}"


def _declare(
    distribution: Distribution, allowed: Sequence[Value] | None, default: Value, dynamic: bool
) -> Any:
    if allowed is None:
        if isinstance(distribution, Choice):
            values = distribution.values
            strings = isinstance(values[0], str)
            # The values of a choice are of one kind, which their type does not say.
            allowed = values if strings else (min(values), max(values))  # pyright: ignore[reportArgumentType]
        elif isinstance(distribution, LogInt | UniformInt | LogFloat | UniformFloat):
            allowed = (distribution.low, distribution.high)
        else:
            raise ValueError(f"{distribution} needs an allowed range: give allowed=(low, high).")
    info = FieldInfo(distribution, tuple(allowed), dynamic)
    return dataclasses.field(default=default, metadata={_METADATA: info})


# Both return Any, as dataclasses.field does: a field is annotated with the type of its value.
def static(
    distribution: Distribution, *, default: Value, allowed: Sequence[Value] | None = None
) -> Any:
    """Declare a config field that fixes the compiled program: a shape, a number of layers.

    Args:
      distribution: Where the sampler draws it from.
      default: The value where a spec says nothing. It is left out of canonical JSON, so it may
        never change without raising the family's version.
      allowed: Inclusive range ``(low, high)`` of a number, or all values of a string. Default:
        the range of the distribution.

    Examples:
      >>> width: int = velodrome.static(velodrome.log_int(8, 64), default=16, allowed=(1, 4096))
    """
    return _declare(distribution, allowed, default, dynamic=False)


def dynamic(
    distribution: Distribution, *, default: Value, allowed: Sequence[Value] | None = None
) -> Any:
    """Declare a config field that may differ between the tasks of one compiled program.

    The arguments are those of `static`. A string reaches the network as its index in
    ``allowed``.

    Examples:
      >>> scale: float = velodrome.dynamic(velodrome.log_float(0.5, 2.0), default=1.0)
    """
    return _declare(distribution, allowed, default, dynamic=True)


def declared(field: object) -> FieldInfo | None:
    """Return what `static` or `dynamic` declared; None for anything else."""
    return field.metadata.get(_METADATA) if isinstance(field, dataclasses.Field) else None


@functools.cache
def config_fields(cls: type) -> dict[str, tuple[type, FieldInfo, Any]]:
    """Return ``{name: (type, info, default)}`` of a config class.

    Raises:
      TypeError: ``cls`` is not a frozen dataclass of `static` and `dynamic` fields
        of type int, float, bool or str.
    """
    parameters = getattr(cls, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise TypeError(f"{cls.__name__} must be a frozen dataclass: @dataclass(frozen=True).")
    types = typing.get_type_hints(cls)
    fields = {}
    for field in dataclasses.fields(cls):
        info = declared(field)
        if info is None:
            raise TypeError(
                f"{cls.__name__}.{field.name} must be declared with static(...) or dynamic(...)."
            )
        if types[field.name] not in (int, float, bool, str):
            raise TypeError(f"{cls.__name__}.{field.name} must be an int, float, bool or str.")
        fields[field.name] = (types[field.name], info, field.default)
    return fields
