"""Checks of a config's fields: a message names the section, the field, and what it may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from velodrome.foundation.errors import SpecError

#: Groups of weights: the prefixes of the fields of `VeLOWeights`.
GROUPS = ("initial", "pool", "project", "lstm", "controls", "step_size", "bank")


def require(ok: bool, name: str, value: Any, allowed: str) -> None:
    """Raises a SpecError unless ``ok``."""
    if not ok:
        raise SpecError(name, value, allowed)


def is_number(value: Any) -> bool:
    """Whether ``value`` is a number that a float can be, finite, and no boolean."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def _name(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def check_integer(owner: Any, where: str, **ranges: tuple[int, int]) -> None:
    """Checks that attributes of ``owner`` are integers in their ranges, ends included."""
    for key, (low, high) in ranges.items():
        value = getattr(owner, key)
        ok = type(value) is int and low <= value <= high
        require(ok, _name(where, key), value, f"an integer from {low} to {high}")


def check_number(owner: Any, where: str, **ranges: tuple[float, float]) -> None:
    """Checks that attributes of ``owner`` are numbers in their ranges, ends included."""
    for key, (low, high) in ranges.items():
        value = getattr(owner, key)
        ok = is_number(value) and low <= value <= high
        require(ok, _name(where, key), value, f"a number from {low:g} to {high:g}")


def check_choice(owner: Any, where: str, **choices: tuple[str, ...]) -> None:
    """Checks that attributes of ``owner`` are among their choices."""
    for key, allowed in choices.items():
        value = getattr(owner, key)
        require(
            value in allowed, _name(where, key), value, f"one of {', '.join(map(repr, allowed))}"
        )


def check_string(owner: Any, where: str, key: str) -> None:
    """Checks that an attribute of ``owner`` is a string with something in it."""
    value = getattr(owner, key)
    require(isinstance(value, str) and bool(value), _name(where, key), value, "a string")


def check_strings(owner: Any, where: str, *keys: str) -> None:
    """Checks that attributes of ``owner`` are tuples of strings."""
    for key in keys:
        value = getattr(owner, key)
        ok = isinstance(value, tuple) and all(isinstance(entry, str) for entry in value)
        require(ok, _name(where, key), value, "a list of strings")


def check_scales(scales: Any, where: str) -> None:
    """Checks a mapping of groups of weights to numbers of at least 0."""
    require(isinstance(scales, Mapping), where, scales, "a mapping of groups")
    for group, scale in scales.items():
        name = f"{where}.{group}"
        require(group in GROUPS, name, group, f"one of the groups {', '.join(GROUPS)}")
        require(is_number(scale) and scale >= 0, name, scale, "a number of at least 0")
