"""The small vocabulary that family configs are declared with.

A config is a frozen dataclass whose fields are made by :func:`static` (fixes the compiled
program: shapes) or :func:`dynamic` (may be a traced array: activation, initialiser, scales).
Each carries the distribution it is sampled from, and the range a user may set by hand, which is
usually wider.

All arithmetic is on integers or in ``decimal``, whose ``ln`` and ``exp`` are correctly rounded:
the draws are the same on every machine, which ``math.exp`` does not promise.
"""

from __future__ import annotations

import dataclasses
import decimal
import difflib
import functools
import math
import typing
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from foundation.errors import SpecError
from taskgen.draws import WORD_BITS, Draws

Config = TypeVar("Config")

_METADATA = "velodrome"
_CONTEXT = decimal.Context(prec=40)
# A fraction of a word, exact: 2**-64 has fewer digits than the context's precision needs.
_WORD = Decimal(1 << WORD_BITS)
_DIGITS = 6


@typing.runtime_checkable
class Distribution(Protocol):
    """Where a field's value is drawn from."""

    def sample(self, draws: Draws, name: str) -> Any:
        """Returns the value of the draw called ``name``."""
        ...

    def describe(self) -> str:
        """Returns the distribution in words."""
        ...


def _fraction(draws: Draws, name: str) -> Decimal:
    return _CONTEXT.divide(Decimal(draws.word(name)), _WORD)


@functools.lru_cache(maxsize=256)
def _ln(value: int | float) -> Decimal:
    return _CONTEXT.ln(Decimal(repr(value)))


def _log_uniform(low: int | float, high: int | float, fraction: Decimal) -> Decimal:
    """Returns ``exp(ln low + fraction * (ln high - ln low))``."""
    width = _CONTEXT.subtract(_ln(high), _ln(low))
    return _CONTEXT.exp(_CONTEXT.add(_ln(low), _CONTEXT.multiply(fraction, width)))


def _rounded(value: Decimal) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _pick(draws: Draws, name: str, count: int) -> int:
    """Returns an index below ``count``; the bias of at most count/2**64 is of no consequence."""
    return draws.word(name) * count >> WORD_BITS


@dataclasses.dataclass(frozen=True)
class LogInt:
    """See :func:`log_int`."""

    low: int
    high: int

    def sample(self, draws: Draws, name: str) -> int:
        """Returns an integer in [low, high)."""
        drawn = int(_log_uniform(self.low, self.high, _fraction(draws, name)))
        return max(self.low, drawn)  # exp(ln low) may be rounded to just below low

    def describe(self) -> str:
        """Returns the distribution in words."""
        return f"log-uniform integer in [{self.low}, {self.high})"


@dataclasses.dataclass(frozen=True)
class UniformInt:
    """See :func:`uniform_int`."""

    low: int
    high: int

    def sample(self, draws: Draws, name: str) -> int:
        """Returns an integer in [low, high]."""
        return self.low + _pick(draws, name, self.high - self.low + 1)

    def describe(self) -> str:
        """Returns the distribution in words."""
        return f"uniform integer in [{self.low}, {self.high}]"


@dataclasses.dataclass(frozen=True)
class UniformFloat:
    """See :func:`uniform_float`."""

    low: float
    high: float

    def sample(self, draws: Draws, name: str) -> float:
        """Returns a float in [low, high], rounded to six significant digits."""
        low, high = Decimal(repr(self.low)), Decimal(repr(self.high))
        width = _CONTEXT.subtract(high, low)
        return _rounded(_CONTEXT.add(low, _CONTEXT.multiply(_fraction(draws, name), width)))

    def describe(self) -> str:
        """Returns the distribution in words."""
        return f"uniform in [{self.low}, {self.high}]"


@dataclasses.dataclass(frozen=True)
class LogFloat:
    """See :func:`log_float`."""

    low: float
    high: float

    def sample(self, draws: Draws, name: str) -> float:
        """Returns a float in [low, high], rounded to six significant digits."""
        return _rounded(_log_uniform(self.low, self.high, _fraction(draws, name)))

    def describe(self) -> str:
        """Returns the distribution in words."""
        return f"log-uniform in [{self.low}, {self.high}]"


@dataclasses.dataclass(frozen=True)
class Choice:
    """See :func:`choice`."""

    values: tuple[Any, ...]
    weights: tuple[int, ...]

    def sample(self, draws: Draws, name: str) -> Any:
        """Returns one of the values."""
        index = _pick(draws, name, sum(self.weights))
        for value, weight in zip(self.values, self.weights, strict=True):
            if index < weight:
                return value
            index -= weight
        raise AssertionError("unreachable: the index is below the sum of the weights")

    def describe(self) -> str:
        """Returns the distribution in words."""
        if len(self.values) == 1:
            return f"always {self.values[0]}"
        if len(set(self.weights)) == 1:
            return f"uniform over {', '.join(map(str, self.values))}"
        pairs = zip(self.values, self.weights, strict=True)
        total = sum(self.weights)
        return "one of " + ", ".join(f"{value} ({weight}/{total})" for value, weight in pairs)


def log_int(low: int, high: int) -> LogInt:
    """Log-uniform integers: ``int(exp(U(ln low, ln high)))``, truncated, so never ``high``.

    This is the rule of the published task distributions (Metz et al. 2022, arXiv 2211.09760).

    Args:
      low: Smallest value, at least 1.
      high: Upper end, greater than ``low``, never drawn itself.
    """
    if not 1 <= low < high:
        raise ValueError(f"log_int needs 1 <= low < high, but got {low} and {high}.")
    return LogInt(low, high)


def uniform_int(low: int, high: int) -> UniformInt:
    """Uniform integers from ``low`` to ``high``, both included."""
    if low > high:
        raise ValueError(f"uniform_int needs low <= high, but got {low} and {high}.")
    return UniformInt(low, high)


def uniform_float(low: int | float, high: int | float) -> UniformFloat:
    """Uniform floats from ``low`` to ``high``, rounded to six significant digits."""
    if low > high:
        raise ValueError(f"uniform_float needs low <= high, but got {low} and {high}.")
    return UniformFloat(float(low), float(high))


def log_float(low: int | float, high: int | float) -> LogFloat:
    """Log-uniform floats from ``low`` > 0 to ``high``, rounded to six significant digits."""
    if not 0 < low <= high:
        raise ValueError(f"log_float needs 0 < low <= high, but got {low} and {high}.")
    return LogFloat(float(low), float(high))


def choice(values: Iterable[Any], weights: Iterable[int] | None = None) -> Choice:
    """One of ``values``, with integer ``weights`` (default: all alike)."""
    values = tuple(values)
    chosen = (1,) * len(values) if weights is None else tuple(weights)
    if not values or len(values) != len(chosen) or min(chosen) < 0 or sum(chosen) == 0:
        raise ValueError(
            f"choice needs values and as many non-negative integer weights, not all zero; "
            f"got {values} and {chosen}."
        )
    return Choice(values, chosen)


def fixed(value: Any) -> Choice:
    """Always ``value``: for what the sampler leaves alone but a user may set."""
    return choice((value,))


def boolean(p: int | float = 0.5) -> Choice:
    """True with probability ``p`` (to a part in a million), else False."""
    if not 0 <= p <= 1:
        raise ValueError(f"boolean needs a probability from 0 to 1, but got {p}.")
    true = round(p * 1_000_000)
    return choice((True, False), (true, 1_000_000 - true))


@dataclasses.dataclass(frozen=True)
class FieldInfo:
    """What a config field declares besides its type and default.

    Attributes:
      distribution: Where the sampler draws it from.
      allowed: For numbers the inclusive range ``(low, high)``; for strings all values.
      dynamic: Whether it may be a traced array in a compiled program.
    """

    distribution: Distribution
    allowed: tuple[Any, ...]
    dynamic: bool

    def describe_allowed(self, kind: type) -> str:
        """Returns what the field accepts, in words."""
        if kind is bool:
            return "true or false"
        if kind is str:
            return "one of " + ", ".join(map(repr, self.allowed))
        article = "an integer" if kind is int else "a number"
        return f"{article} from {self.allowed[0]} to {self.allowed[1]}"


def _declare(
    distribution: Distribution, allowed: tuple[Any, ...] | None, default: Any, dynamic: bool
) -> Any:
    if allowed is None:
        if isinstance(distribution, Choice):
            values = distribution.values
            strings = isinstance(values[0], str)
            allowed = values if strings else (min(values), max(values))
        elif isinstance(distribution, LogInt | UniformInt | LogFloat | UniformFloat):
            allowed = (distribution.low, distribution.high)
        else:
            raise ValueError(f"{distribution} needs an allowed range: give allowed=(low, high).")
    info = FieldInfo(distribution, tuple(allowed), dynamic)
    return dataclasses.field(default=default, metadata={_METADATA: info})


def static(
    distribution: Distribution, *, default: Any, allowed: tuple[Any, ...] | None = None
) -> Any:
    """Declares a config field that fixes the compiled program: a shape, a number of layers.

    Args:
      distribution: Where the sampler draws it from.
      default: The value where a spec says nothing. It is left out of canonical JSON, so it may
        never change without raising the family's version.
      allowed: Inclusive range ``(low, high)`` of a number, or all values of a string. Default:
        the range of the distribution.
    """
    return _declare(distribution, allowed, default, dynamic=False)


def dynamic(
    distribution: Distribution, *, default: Any, allowed: tuple[Any, ...] | None = None
) -> Any:
    """Declares a config field that may differ between the tasks of one compiled program.

    The arguments are those of :func:`static`. A string reaches the network as its index in
    ``allowed``.
    """
    return _declare(distribution, allowed, default, dynamic=True)


def declared(field: Any) -> FieldInfo | None:
    """Returns what :func:`static` or :func:`dynamic` declared; None if ``field`` is not of them."""
    return field.metadata.get(_METADATA) if isinstance(field, dataclasses.Field) else None


@functools.cache
def config_fields(cls: type) -> dict[str, tuple[type, FieldInfo, Any]]:
    """Returns ``{name: (type, info, default)}`` of a config class.

    Raises:
      TypeError: ``cls`` is not a frozen dataclass of :func:`static` and :func:`dynamic` fields
        of type int, float, bool or str.
    """
    if not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen:  # type: ignore
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


def sample_config(cls: type[Config], draws: Draws) -> Config:
    """Draws every field of ``cls`` from its own stream of ``draws``."""
    fields = config_fields(cls).items()
    return cls(**{name: info.distribution.sample(draws, name) for name, (_, info, _) in fields})


def _check_value(field: str, value: Any, kind: type, info: FieldInfo) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    # bool is a subclass of int, and `true` is no hidden size.
    ok = type(value) is kind
    if ok and kind is str:
        ok = value in info.allowed
    elif ok and kind is not bool:
        ok = math.isfinite(value) and info.allowed[0] <= value <= info.allowed[1]
    if not ok:
        raise SpecError(field, value, info.describe_allowed(kind))
    return value


def check_config(cls: type[Config], values: Mapping[str, Any] | Config) -> Config:
    """Returns a checked config.

    Args:
      cls: The config class.
      values: An instance of ``cls``, or a mapping of some of its fields; the others are at
        their default.

    Raises:
      SpecError: A key is unknown, or a value has the wrong type or is out of range.
    """
    fields = config_fields(cls)
    if isinstance(values, cls):
        values = {name: getattr(values, name) for name in fields}
    if not isinstance(values, Mapping):
        raise SpecError("config", values, f"a mapping with fields of {cls.__name__}")
    for name in values:
        if name not in fields:
            close = difflib.get_close_matches(str(name), fields, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise SpecError("config", name, f"one of the fields {', '.join(fields)}{hint}")
    checked = {
        name: _check_value(f"config.{name}", values[name], kind, info)
        for name, (kind, info, _) in fields.items()
        if name in values
    }
    return cls(**checked)


def config_to_json(config: Any) -> dict[str, Any]:
    """Returns the fields that are not at their default."""
    fields = config_fields(type(config)).items()
    return {
        name: getattr(config, name)
        for name, (_, _, default) in fields
        if getattr(config, name) != default
    }


def dynamic_values(config: Any) -> dict[str, int | float]:
    """Returns the dynamic fields as numbers: a string as its index in ``allowed``."""
    numbers = {}
    for name, (kind, info, _) in config_fields(type(config)).items():
        if info.dynamic:
            value = getattr(config, name)
            numbers[name] = info.allowed.index(value) if kind is str else value
    return numbers


def static_values(config: Any) -> dict[str, Any]:
    """Returns the static fields: what fixes the compiled program."""
    fields = config_fields(type(config)).items()
    return {name: getattr(config, name) for name, (_, info, _) in fields if not info.dynamic}
