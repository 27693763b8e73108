"""Reading sections of a config from JSON: types are checked here, ranges by the dataclasses."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from velodrome.foundation.errors import unknown_key
from velodrome.optimizers.metatrain.config.checks import is_number, require

_PLAIN = {int: "an integer", str: "a string", bool: "true or false"}
_LISTS = {str: "a list of strings", int: "a list of integers", float: "a list of numbers"}


def sections(cls: type) -> dict[str, Any]:
    """Returns the fields of a config that are dataclasses themselves, with their classes."""
    types = typing.get_type_hints(cls)
    return {name: kind for name, kind in types.items() if dataclasses.is_dataclass(kind)}


def read_config(cls: type, values: Any) -> dict[str, Any]:
    """Returns the fields of a config, its sections made.

    Raises:
      SpecError: A key is unknown, or a value has the wrong type or is out of range.
    """
    made = read_section(cls, "", values)
    for section, kind in sections(cls).items():
        if section in made:
            made[section] = kind(**read_section(kind, section, made[section]))
    return made


def read_section(cls: type, where: str, values: Any) -> dict[str, Any]:
    """Returns the fields of a section as their types say.

    Args:
      cls: Its dataclass.
      where: Its name, for messages; "" is the config itself.
      values: What the JSON has there.

    Raises:
      SpecError: It is no mapping, a key is unknown, or a value has the wrong type.
    """
    types = typing.get_type_hints(cls)
    require(isinstance(values, Mapping), where or "config", values, "a mapping of fields")
    read = {}
    for key, value in values.items():
        if key not in types:
            raise unknown_key(where or "config", key, types)
        read[key] = _read_value(types[key], f"{where}.{key}" if where else key, value)
    return read


def _read_value(kind: Any, name: str, value: Any) -> Any:
    if kind is float:
        require(is_number(value), name, value, "a number")
        return float(value)
    if kind in _PLAIN:
        require(type(value) is kind, name, value, _PLAIN[kind])
    if typing.get_origin(kind) is tuple and (entry := typing.get_args(kind)[0]) in _LISTS:
        fits = is_number if entry is float else lambda item: type(item) is entry
        ok = isinstance(value, list | tuple) and all(map(fits, value))
        require(ok, name, value, _LISTS[entry])
        return tuple(entry(item) for item in value)
    if typing.get_origin(kind) is Mapping and isinstance(value, Mapping):
        return {key: float(entry) if is_number(entry) else entry for key, entry in value.items()}
    return value
