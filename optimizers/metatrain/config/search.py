"""`SearchConfig`: a search of a few numbers of hand-made weights, as frozen data and one JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import SpecError, UnknownNameError
from velodrome.optimizers.metatrain.config.checks import (
    check_integer,
    check_number,
    is_number,
    require,
)
from velodrome.optimizers.metatrain.config.inner import ArchitectureConfig, TasksConfig
from velodrome.optimizers.metatrain.config.reading import read_config, sections

#: What ``method`` is in the JSON of a search.
SEARCH = "search"

SCHEMA = 1


@dataclass(frozen=True)
class LengthsConfig:
    """How long the runs of a search are.

    Args:
      low: Shortest run, in steps. Lengths are log-uniform.
      high: Longest run.
      high_by_family: Longest run, while it searches, of families that are slower.
      checked: Lengths at which all tasks are run in the end, with other problems.
    """

    low: int = 200
    high: int = 2000
    high_by_family: Mapping[str, float] = field(default_factory=dict)
    checked: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        where = "lengths"
        check_integer(self, where, low=(10, 10**7), high=(self.low, 10**7))
        ok = isinstance(self.high_by_family, Mapping)
        require(ok, "lengths.high_by_family", self.high_by_family, "a mapping of families")
        for family, most in self.high_by_family.items():
            ok = is_number(most) and self.low <= most <= self.high and most == int(most)
            allowed = f"an integer from {self.low} to {self.high}"
            require(ok, f"lengths.high_by_family.{family}", most, allowed)
        ok = isinstance(self.checked, tuple) and all(
            type(length) is int and 1 <= length <= self.high for length in self.checked
        )
        allowed = f"a list of integers from 1 to {self.high}"
        require(ok, "lengths.checked", self.checked, allowed)

    def longest(self, family: str) -> int:
        """Returns the longest run of a family."""
        return int(self.high_by_family.get(family, self.high))


@dataclass(frozen=True)
class EnvelopeConfig:
    """What speedups are measured against: Adam's lowest loss at each of some lengths.

    Args:
      rates: Learning rates of Adam.
      lengths: Lengths of its runs, growing: each is a run of its own.
    """

    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
    lengths: tuple[int, ...] = (100, 200, 400, 800, 1600, 3200, 6400)

    def __post_init__(self) -> None:
        ok = len(self.rates) > 0 and all(is_number(rate) and rate > 0 for rate in self.rates)
        require(ok, "envelope.rates", self.rates, "a list of positive numbers")
        growing = list(self.lengths) == sorted(set(self.lengths))
        ok = growing and len(self.lengths) > 1 and min(self.lengths) > 0
        require(ok, "envelope.lengths", self.lengths, "two or more lengths, growing")


@dataclass(frozen=True)
class StrategyConfig:
    """Separable CMA-ES (Ros and Hansen 2008), by the library cma.

    Args:
      generations: How many.
      population: Candidates of a generation, in mirrored pairs: an even number.
      tasks: Tasks that all candidates of a generation are run on; families take turns.
      sigma: Standard deviation of the first candidates, in the numbers' scales.
      least: Standard deviations do not become smaller.
      average: Decay, a generation, of the running average of the means: what is kept in the end.
        It begins at the start.
    """

    generations: int = 200
    population: int = 16
    tasks: int = 4
    sigma: float = 0.5
    least: float = 0.1
    average: float = 0.9

    def __post_init__(self) -> None:
        where = "strategy"
        check_integer(
            self, where, generations=(1, 10**6), population=(4, 65_536), tasks=(1, 10_000)
        )
        even = self.population % 2 == 0
        require(even, "strategy.population", self.population, "an even number")
        check_number(
            self, where, sigma=(1e-6, 100.0), least=(0.0, self.sigma), average=(0.0, 0.999999)
        )


@dataclass(frozen=True)
class SearchConfig:
    """A search, completely: equal configs give equal numbers on one machine.

    Args:
      method: ``"search"``.
      seed: Seed of everything random except the sampling of tasks.
      architecture: Size of the learned optimizer; ``init`` is ``"features"``.
      tasks: What it is trained on. Validation tasks, mixture, ``vary`` and augmentations are not
        used.
      numbers: For each number (`velodrome.optimizers.velo.handmade.numbers`) where the search starts and its
        scale: how far from there the search looks at first, times ``strategy.sigma``. With a
        scale of 0 it stays. The scale of positive numbers is that of their logarithm.
      lengths: How long runs are.
      envelope: What speedups are measured against.
      strategy: How candidates are made.
      schema: Version of this form.

    Raises:
      SpecError: A field has the wrong type or is out of range.
    """

    numbers: Mapping[str, Any]
    method: str = SEARCH
    seed: int = 0
    architecture: ArchitectureConfig = ArchitectureConfig(init="features")
    tasks: TasksConfig = field(default_factory=lambda: TasksConfig(vary=()))
    lengths: LengthsConfig = field(default_factory=LengthsConfig)
    envelope: EnvelopeConfig = EnvelopeConfig()
    strategy: StrategyConfig = StrategyConfig()
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        allowed = f"{SEARCH!r}, or left out for an evolution"
        require(self.method == SEARCH, "method", self.method, allowed)
        check_integer(self, "", seed=(0, 2**62), schema=(SCHEMA, SCHEMA))
        for section, kind in sections(SearchConfig).items():
            value = getattr(self, section)
            require(isinstance(value, kind), section, value, f"a {kind.__name__}")
        init = self.architecture.init
        require(init == "features", "architecture.init", init, "'features': the numbers are its")
        for name in ("mixture", "vary", "augmentations"):
            value = getattr(self.tasks, name)
            require(not value, f"tasks.{name}", value, "empty: a search does not use it")
        require(isinstance(self.numbers, Mapping), "numbers", self.numbers, "a mapping of numbers")
        for name, pair in self.numbers.items():
            _check_number(name, pair)
        pairs = {name: (float(a), float(b)) for name, (a, b) in self.numbers.items()}
        object.__setattr__(self, "numbers", pairs)
        _check_size(self.architecture)
        longest = self.envelope.lengths[-1]
        allowed = f"at most {longest}, the last of envelope.lengths"
        require(self.lengths.high <= longest, "lengths.high", self.lengths.high, allowed)
        for name in ("step", "small"):
            require(name in self.numbers, "numbers", sorted(self.numbers), f"with {name!r}")
        for family in self.lengths.high_by_family:
            allowed = f"one of {', '.join(self.tasks.families)}"
            name = f"lengths.high_by_family.{family}"
            require(family in self.tasks.families, name, family, allowed)
        ok = len(self.searched) > 1
        require(ok, "numbers", dict(self.numbers), "with two or more of a scale above 0")

    @property
    def searched(self) -> tuple[str, ...]:
        """Names of the numbers that are searched, in order."""
        return tuple(name for name, (_, scale) in self.numbers.items() if scale > 0)

    def to_json(self) -> dict[str, Any]:
        """Returns all fields as JSON."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SearchConfig:
        """Reads a mapping such as `to_json` wrote; what is left out is at its default.

        Raises:
          SpecError: A key is unknown, or a value has the wrong type or is out of range.
        """
        made = read_config(cls, values)
        require("numbers" in made, "numbers", None, "a mapping of numbers")
        return cls(**made)

    @property
    def hash(self) -> str:
        """SHA-256 of all fields but the number of generations: more of them go on with a search."""
        # Read again, so that 1 and 1.0 are one number; the order of numbers is that of candidates.
        values = SearchConfig.from_json(self.to_json()).to_json()
        values["strategy"].pop("generations")
        return content_hash([values, list(values["numbers"])])


def _check_number(name: str, pair: Any) -> None:
    from velodrome.optimizers.velo.handmade.numbers import POSITIVE, check_number_name  # needs jax

    where = f"numbers.{name}"
    try:
        check_number_name(name)
    except UnknownNameError as error:
        raise SpecError(where, pair, f"a number of the hand-made weights: {error}") from error
    ok = isinstance(pair, list | tuple) and len(pair) == 2 and all(map(is_number, pair))
    require(ok, where, pair, "a pair: the start, and the scale")
    start, scale = pair
    require(scale >= 0, where, pair, "a pair with a scale of at least 0")
    require(name not in POSITIVE or start > 0, where, pair, "a pair with a positive start")


def _check_size(architecture: ArchitectureConfig) -> None:
    from velodrome.optimizers.velo.handmade.features import LEAST_BANK, LEAST_HIDDEN  # needs jax

    for name, least in (("hidden", LEAST_HIDDEN), ("bank", LEAST_BANK)):
        value = getattr(architecture, name)
        require(value >= least, f"architecture.{name}", value, f"at least {least} for 'features'")
