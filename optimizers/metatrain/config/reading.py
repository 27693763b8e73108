"""Declare, check and read the sections of a config, by the rules of `velodrome.taskgen.space`."""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from velodrome.foundation.errors import SpecError, unknown_key
from velodrome.taskgen.space.config import check_value
from velodrome.taskgen.space.distributions import fixed
from velodrome.taskgen.space.fields import FieldInfo, declared, static

Config = TypeVar("Config")

#: Groups of weights: the prefixes of the fields of `VeLOWeights`.
GROUPS = ("initial", "pool", "project", "lstm", "controls", "step_size", "bank")

_ONE = {int: "an integer", str: "a string with something in it"}
_MANY = {int: "integers", float: "numbers", str: "strings"}


def setting(default: Any, *allowed: int | float | str) -> Any:
    """Declare a field: a number by its lowest and highest value, a string by all its values."""
    return static(fixed(default), default=default, allowed=allowed or None)


def require(ok: bool, name: str, value: object, allowed: str) -> None:
    if not ok:
        raise SpecError(name, value, allowed)


def is_number(value: object) -> bool:
    """Return whether ``value`` is a finite number in the range of floats, and no boolean."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def complete(config: object, where: str = "") -> None:
    """Check every field of a frozen config, in its ``__post_init__``; integers become floats.

    Args:
      config: The config or section.
      where: The section's name, for messages; empty for the config.

    Raises:
      SpecError: A value has the wrong type or is out of range.
    """
    for name in typing.get_type_hints(type(config)):
        value = _field(type(config), where, name, getattr(config, name))
        object.__setattr__(config, name, value)


def read(cls: type[Config], where: str, values: object) -> Config:
    """Return a config or section made of a mapping; what is left out is at its default.

    Raises:
      SpecError: It is no mapping, a key is unknown, or a value is not allowed.
    """
    if isinstance(values, cls):
        return values
    known = typing.get_type_hints(cls)
    if not isinstance(values, Mapping):
        raise SpecError(where or "config", values, "a mapping of fields")
    for key in values:
        if key not in known:
            raise unknown_key(where or "config", key, known)
    return cls(**{key: _field(cls, where, key, value) for key, value in values.items()})


class JsonConfig:
    """A config that is written and read as one JSON."""

    def to_json(self) -> dict[str, Any]:
        assert dataclasses.is_dataclass(self)
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls: type[Config], values: Mapping[str, object]) -> Config:
        """Read a mapping such as `to_json` returns; what is left out is at its default.

        Raises:
          SpecError: A key is unknown, or a value has the wrong type or is out of range.
        """
        return read(cls, "", values)


def check_entries(
    name: str,
    entries: Mapping[str, float],
    keys: Iterable[str],
    ok: Callable[[float], bool],
    allowed: str,
) -> None:
    """Check that a mapping has only known keys, and values that are ``ok``: ``allowed`` in words.

    Raises:
      SpecError: It has others; the message names the entry.
    """
    keys = list(keys)
    for key, value in entries.items():
        require(key in keys, f"{name}.{key}", key, f"one of {', '.join(keys)}")
        require(ok(value), f"{name}.{key}", value, allowed)


def check_scales(name: str, scales: Mapping[str, float]) -> None:
    """Check a mapping of groups of weights to numbers of at least 0."""
    check_entries(name, scales, GROUPS, lambda scale: scale >= 0, "a number of at least 0")


def _field(cls: type, where: str, name: str, value: Any) -> Any:
    info = declared(cls.__dataclass_fields__[name])
    full_name = f"{where}.{name}" if where else name
    return _made(full_name, typing.get_type_hints(cls)[name], value, info)


def _made(name: str, kind: Any, value: Any, info: FieldInfo | None) -> Any:
    """Return ``value`` as a ``kind``: lists become tuples, and mappings become sections."""
    if info is not None:
        return check_value(name, value, kind, info)
    if dataclasses.is_dataclass(kind):
        return read(typing.cast(type, kind), name, value)
    if kind is float:
        require(is_number(value), name, value, "a number")
        return float(value)
    if kind in (int, str):
        require(type(value) is kind and value != "", name, value, _ONE[kind])
        return value
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is Mapping:
        require(isinstance(value, Mapping), name, value, "a mapping")
        entries = value.items()
        return {key: _made(f"{name}.{key}", arguments[1], entry, None) for key, entry in entries}
    entry, *others = arguments
    length = None if others == [...] else len(arguments)
    ok = isinstance(value, list | tuple) and length in (None, len(value))
    words = _MANY.get(entry, f"{entry.__name__}s")
    require(ok, name, value, f"a list of {'' if length is None else f'{length} '}{words}")
    return tuple(_made(name, entry, item, None) for item in value)
