"""The numbers of the hand-made weights by name, so that a config or a card can list them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from velodrome.foundation.errors import UnknownNameError
from velodrome.optimizers.velo.handmade.features import CHANNELS, UNITS, Numbers

#: Numbers that are positive: they are searched by their logarithms.
POSITIVE = ("step", "small")

# Weights beyond this are infinite anyway, and such a candidate diverges; floats end at e^709.
_FARTHEST = 300.0

_UNITS = tuple(unit.name for unit in UNITS)


def check_number_name(name: str) -> None:
    """Raises an UnknownNameError unless ``name`` is one of a number.

    Names are ``step``, ``small``, ``direction/CHANNEL``, ``log_step/UNIT`` and
    ``mixture/UNIT/CHANNEL``, with the channels and units of `velodrome.optimizers.velo.handmade.features`.
    """
    kind, *rest = name.split("/")
    parts = {
        "step": (), "small": (), "direction": (CHANNELS,), "log_step": (_UNITS,),
        "mixture": (_UNITS, CHANNELS),
    }  # fmt: skip
    if kind not in parts or len(rest) != len(parts[kind]):
        forms = [*POSITIVE, "direction/CHANNEL", "log_step/UNIT", "mixture/UNIT/CHANNEL"]
        raise UnknownNameError("number of the hand-made weights", name, forms)
    for part, known in zip(rest, parts[kind], strict=True):
        if part not in known:
            what = "channel" if known is CHANNELS else "unit"
            raise UnknownNameError(f"{what} of the hand-made weights", part, sorted(known))


def moved(name: str, start: float, distance: float) -> float:
    """Returns the number ``distance`` from ``start``: along its logarithm if it is positive."""
    if name not in POSITIVE:
        return start + distance
    return start * math.exp(min(distance, _FARTHEST))


def numbers_from(values: Mapping[str, float]) -> Numbers:
    """Returns the numbers with these values by name; those that are not named are 0.

    Raises:
      UnknownNameError: A name is not one of a number.
    """
    fields: dict[str, Any] = {"direction": {}, "log_step": {}, "mixture": {}}
    for name, value in values.items():
        check_number_name(name)
        kind, *rest = name.split("/")
        if not rest:
            fields[kind] = value
        elif kind == "mixture":
            fields[kind].setdefault(rest[0], {})[rest[1]] = value
        else:
            fields[kind][rest[0]] = value
    return Numbers(**fields)


def numbers_from_card(card: Mapping[str, Any]) -> Numbers:
    """Returns the numbers that a card of searched weights lists (``training.numbers``)."""
    return Numbers(**card["training"]["numbers"])


def rounded(numbers: Numbers, digits: int = 3) -> Numbers:
    """Returns the numbers with so many significant digits: what a card can print in full."""

    def rounds(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: rounds(entry) for name, entry in value.items()}
        return float(f"{value:.{digits}g}")

    return Numbers(**{key: rounds(value) for key, value in dataclasses.asdict(numbers).items()})
