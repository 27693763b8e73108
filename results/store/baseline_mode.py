"""How far a baseline's sweep is run: `BaselineMode`, as `--baseline` and the store name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from velodrome.foundation.errors import SpecError

RACING = 4
"""Rates that go on after a stage of a racing sweep, if nothing else is said."""


@dataclass(frozen=True)
class BaselineMode:
    """Whether the sweep stops when every question is answered, and which rates go on until then.

    ``exhaustive``: all rates to the budget. ``decided``: all rates, in stages, until a longer sweep
    would change no speedup. ``racing``: the same, but after a stage only the best ``rates`` go on,
    so a rate that would have come from behind is missed.
    """

    kind: Literal["exhaustive", "decided", "racing"] = "exhaustive"
    rates: int = 0

    @classmethod
    def parse(cls, text: str) -> BaselineMode:
        """Read ``exhaustive``, ``decided``, ``racing`` or ``racing:3``; SpecError otherwise."""
        if text == "exhaustive":
            return cls()
        if text == "decided":
            return cls("decided")
        kind, _, rates = text.partition(":")
        if kind == "racing" and (rates.isdecimal() and int(rates) > 0 or text == kind):
            return cls("racing", int(rates or RACING))
        raise SpecError("baseline", text, "exhaustive, decided, racing, or racing:K with K rates")

    def __str__(self) -> str:
        return f"racing:{self.rates}" if self.rates else self.kind

    @property
    def staged(self) -> bool:
        """Whether the sweep may stop before its budget."""
        return self.kind != "exhaustive"
