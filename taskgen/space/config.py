"""Sample, check and serialise the configs that :mod:`velodrome.taskgen.space.fields` declare."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import TypeVar

from velodrome.foundation.errors import SpecError, unknown_key
from velodrome.taskgen.space.distributions import Value
from velodrome.taskgen.space.draws import NamedRng
from velodrome.taskgen.space.fields import FieldInfo, config_fields

Config = TypeVar("Config")


def sample_config(cls: type[Config], rng: NamedRng) -> Config:
    """Draw every field of ``cls``, each by its name."""
    fields = config_fields(cls).items()
    return cls(**{name: info.distribution.sample(rng, name) for name, (_, info, _) in fields})


def check_value(field: str, value: object, kind: type, info: FieldInfo) -> object:
    """Return the value of a field, an integer as a float where ``kind`` is float.

    Raises:
      SpecError: It has another type than ``kind`` or is out of range.
    """
    if kind is float and type(value) is int:
        with contextlib.suppress(OverflowError):  # an integer of hundreds of digits is no float
            value = float(value)
    # bool is a subclass of int, and `true` is no hidden size.
    ok = type(value) is kind
    if ok and kind is str:
        ok = value in info.allowed
    elif isinstance(value, int | float) and ok and kind is not bool:
        ok = math.isfinite(value) and info.allowed[0] <= value <= info.allowed[1]
    if not ok:
        raise SpecError(field, value, info.describe_allowed(kind))
    return value


def check_config(
    cls: type[Config], values: Mapping[str, object] | Config, *, where: str = "config"
) -> Config:
    """Return a checked config.

    Args:
      values: An instance of ``cls``, or a mapping of some of its fields; the others take their
        defaults.
      where: Name of the config in messages.

    Raises:
      SpecError: A key is unknown, or a value has the wrong type or is out of range.
    """
    fields = config_fields(cls)
    if isinstance(values, cls):
        values = {name: getattr(values, name) for name in fields}
    if not isinstance(values, Mapping):
        raise SpecError(where, values, f"a mapping with fields of {cls.__name__}")
    for name in values:
        if name not in fields:
            raise unknown_key(where, name, fields, "fields")
    checked = {
        name: check_value(f"{where}.{name}", values[name], kind, info)
        for name, (kind, info, _) in fields.items()
        if name in values
    }
    return cls(**checked)


def config_to_json(config: object) -> dict[str, Value]:
    """Return the fields that are not at their default."""
    fields = config_fields(type(config)).items()
    return {
        name: getattr(config, name)
        for name, (_, _, default) in fields
        if getattr(config, name) != default
    }


def dynamic_values(config: object) -> dict[str, int | float]:
    """Return the dynamic fields as numbers: a string as its index in ``allowed``."""
    numbers = {}
    for name, (kind, info, _) in config_fields(type(config)).items():
        if info.dynamic:
            value = getattr(config, name)
            numbers[name] = info.allowed.index(value) if kind is str else value
    return numbers


def static_values(config: object) -> dict[str, Value]:
    """Return the static fields: what fixes the compiled program."""
    fields = config_fields(type(config)).items()
    return {name: getattr(config, name) for name, (_, info, _) in fields if not info.dynamic}
