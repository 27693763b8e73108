"""The distributions that fields of family configs are drawn from.

All arithmetic is on integers or in ``decimal``, whose ``ln`` and ``exp`` are correctly rounded:
the samples are the same on every machine, which ``math.exp`` does not promise.
"""

from __future__ import annotations

import decimal
import functools
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from velodrome.taskgen.space.draws import WORD_BITS, NamedRng

Value = bool | int | float | str
"""What a config field may hold."""

_CONTEXT = decimal.Context(prec=40)
# A fraction of a word, exact: 2**-64 has fewer digits than the context's precision needs.
_WORD = Decimal(1 << WORD_BITS)
_DIGITS = 6


@typing.runtime_checkable
class Distribution(Protocol):
    """Where a field's value is drawn from."""

    def sample(self, rng: NamedRng, name: str, /) -> Value:
        """Return the value called ``name``."""
        ...

    def describe(self) -> str:
        """Return the distribution in words."""
        ...


def _fraction(rng: NamedRng, name: str) -> Decimal:
    return _CONTEXT.divide(Decimal(rng.word(name)), _WORD)


@functools.lru_cache(maxsize=256)
def _ln(value: int | float) -> Decimal:
    return _CONTEXT.ln(Decimal(repr(value)))


def _log_uniform(low: int | float, high: int | float, fraction: Decimal) -> Decimal:
    width = _CONTEXT.subtract(_ln(high), _ln(low))
    return _CONTEXT.exp(_CONTEXT.add(_ln(low), _CONTEXT.multiply(fraction, width)))


def _rounded(value: Decimal) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _pick(rng: NamedRng, name: str, count: int) -> int:
    """Return an index below ``count``; the bias of at most count/2**64 is of no consequence."""
    return rng.word(name) * count >> WORD_BITS


@dataclass(frozen=True)
class LogInt:
    low: int
    high: int

    def sample(self, rng: NamedRng, name: str, /) -> int:
        drawn = int(_log_uniform(self.low, self.high, _fraction(rng, name)))
        return max(self.low, drawn)  # exp(ln low) may be rounded to just below low

    def describe(self) -> str:
        return f"log-uniform integer in [{self.low}, {self.high})"


@dataclass(frozen=True)
class UniformInt:
    low: int
    high: int

    def sample(self, rng: NamedRng, name: str, /) -> int:
        return self.low + _pick(rng, name, self.high - self.low + 1)

    def describe(self) -> str:
        return f"uniform integer in [{self.low}, {self.high}]"


@dataclass(frozen=True)
class UniformFloat:
    low: float
    high: float

    def sample(self, rng: NamedRng, name: str, /) -> float:
        low, high = Decimal(repr(self.low)), Decimal(repr(self.high))
        width = _CONTEXT.subtract(high, low)
        return _rounded(_CONTEXT.add(low, _CONTEXT.multiply(_fraction(rng, name), width)))

    def describe(self) -> str:
        return f"uniform in [{self.low}, {self.high}]"


@dataclass(frozen=True)
class LogFloat:
    low: float
    high: float

    def sample(self, rng: NamedRng, name: str, /) -> float:
        return _rounded(_log_uniform(self.low, self.high, _fraction(rng, name)))

    def describe(self) -> str:
        return f"log-uniform in [{self.low}, {self.high}]"


@dataclass(frozen=True)
class Choice:
    values: tuple[Value, ...]
    weights: tuple[int, ...]

    def sample(self, rng: NamedRng, name: str, /) -> Value:
        index = _pick(rng, name, sum(self.weights))
        for value, weight in zip(self.values, self.weights, strict=True):
            if index < weight:
                return value
            index -= weight
        raise AssertionError("unreachable: the index is below the sum of the weights")

    def describe(self) -> str:
        if len(self.values) == 1:
            return f"always {self.values[0]}"
        if len(set(self.weights)) == 1:
            return f"uniform over {', '.join(map(str, self.values))}"
        pairs = zip(self.values, self.weights, strict=True)
        total = sum(self.weights)
        return "one of " + ", ".join(f"{value} ({weight}/{total})" for value, weight in pairs)


def log_int(low: int, high: int) -> LogInt:
    """Draw log-uniform integers: ``int(exp(U(ln low, ln high)))``, truncated, so never ``high``.

    This is the rule of the published task distributions (Metz et al. 2022, arXiv 2211.09760).

    Examples:
      >>> width: int = velodrome.static(velodrome.log_int(8, 64), default=16)
    """
    if not 1 <= low < high:
        raise ValueError(f"log_int needs 1 <= low < high, but got {low} and {high}.")
    return LogInt(low, high)


def uniform_int(low: int, high: int) -> UniformInt:
    """Draw uniform integers from ``low`` to ``high``, both included.

    Examples:
      >>> layers: int = velodrome.static(velodrome.uniform_int(1, 4), default=2)
    """
    if low > high:
        raise ValueError(f"uniform_int needs low <= high, but got {low} and {high}.")
    return UniformInt(low, high)


def uniform_float(low: int | float, high: int | float) -> UniformFloat:
    """Draw uniform floats from ``low`` to ``high``, rounded to six significant digits.

    Examples:
      >>> dropout: float = velodrome.dynamic(velodrome.uniform_float(0.0, 0.5), default=0.1)
    """
    if low > high:
        raise ValueError(f"uniform_float needs low <= high, but got {low} and {high}.")
    return UniformFloat(float(low), float(high))


def log_float(low: int | float, high: int | float) -> LogFloat:
    """Draw log-uniform floats from ``low`` > 0 to ``high``, rounded to six significant digits.

    Examples:
      >>> scale: float = velodrome.dynamic(velodrome.log_float(0.5, 2.0), default=1.0)
    """
    if not 0 < low <= high:
        raise ValueError(f"log_float needs 0 < low <= high, but got {low} and {high}.")
    return LogFloat(float(low), float(high))


def choice(values: Iterable[Value], weights: Iterable[int] | None = None) -> Choice:
    """Draw one of ``values``, with integer ``weights`` (default: equal ones).

    Examples:
      >>> velodrome.choice(("relu", "tanh")).describe()
      'uniform over relu, tanh'
    """
    for given in (values, weights):
        if isinstance(given, str):
            raise ValueError(
                f"choice needs all values as one sequence, such as choice(({given!r}, ...)), and "
                f"then their weights as another; got the string {given!r}."
            )
    values = tuple(values)
    chosen = (1,) * len(values) if weights is None else tuple(weights)
    if not values or len(values) != len(chosen) or min(chosen) < 0 or sum(chosen) == 0:
        raise ValueError(
            f"choice needs values and as many non-negative integer weights, not all zero; "
            f"got {values} and {chosen}."
        )
    return Choice(values, chosen)


def fixed(value: Value) -> Choice:
    """Always draw ``value``: for what a user may set but the sampler leaves alone."""
    return choice((value,))


def boolean(p: int | float = 0.5) -> Choice:
    """Draw True with probability ``p`` (to a part in a million), else False.

    Examples:
      >>> bias: bool = velodrome.static(velodrome.boolean(0.5), default=True)
    """
    if not 0 <= p <= 1:
        raise ValueError(f"boolean needs a probability from 0 to 1, but got {p}.")
    true = round(p * 1_000_000)
    return choice((True, False), (true, 1_000_000 - true))
