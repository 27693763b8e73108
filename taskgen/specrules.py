"""Rules that the fields of a spec keep, and its JSON without defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from velodrome.foundation.errors import SpecError, unknown_key

Rule = tuple[Callable[[Any], bool], str]  # whether a value is allowed, and what is, in words

STRING: Rule = (lambda value: type(value) is str), "a string"


def without_defaults(spec: Any, keep: Sequence[str] = ()) -> dict[str, Any]:
    return {
        field.name: getattr(spec, field.name)
        for field in dataclasses.fields(spec)
        if field.name in keep or getattr(spec, field.name) != field.default
    }


def require(ok: bool, field: str, value: object, allowed: str) -> None:
    if not ok:
        raise SpecError(field, value, allowed)


def check_fields(prefix: str, values: Mapping[str, object], rules: Mapping[str, Rule]) -> None:
    """Check the values that are given; mappings are checked before anything is made from them."""
    for name, (accepts, allowed) in rules.items():
        if name in values:
            require(accepts(values[name]), f"{prefix}{name}", values[name], allowed)


def integer(low: int, high: int) -> Rule:
    words = str(low) if low == high else f"an integer from {low} to {high}"
    return (lambda value: type(value) is int and low <= value <= high), words


def only(legal: str) -> Rule:
    return (lambda value: value == legal), repr(legal)


def one_of(*legal: str) -> Rule:
    return (lambda value: value in legal), " or ".join(map(repr, legal))


def check_keys(where: str, values: object, cls: type) -> None:
    names = [field.name for field in dataclasses.fields(cls)]
    if not isinstance(values, Mapping):
        raise SpecError(where, values, f"a mapping with keys of {names}")
    for key in values:
        if key not in names:
            raise unknown_key(where, key, names)
