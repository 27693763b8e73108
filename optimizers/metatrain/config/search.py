"""`SearchConfig`: a search of a few numbers of hand-made weights, as frozen data and one JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import SpecError, UnknownNameError
from velodrome.optimizers.metatrain.config.inner import ArchitectureConfig, TasksConfig
from velodrome.optimizers.metatrain.config.reading import (
    JsonConfig,
    check_entries,
    complete,
    require,
    setting,
)
from velodrome.optimizers.velo.handmade.numbers import (
    LEAST_BANK,
    LEAST_HIDDEN,
    POSITIVE,
    check_number_name,
)

#: What ``method`` is in the JSON of a search.
SEARCH = "search"


@dataclass(frozen=True)
class LengthsConfig:
    """How long the runs of a search are.

    Args:
      low: Shortest run, in steps. Lengths are log-uniform.
      high: Longest run.
      high_by_family: Longest run, while it searches, of families that are slower.
      checked: Lengths at which all tasks are run in the end, with other problems.
    """

    low: int = setting(200, 10, 10**7)
    high: int = setting(2000, 10, 10**7)
    high_by_family: Mapping[str, float] = field(default_factory=dict)
    checked: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        complete(self, "lengths")
        allowed = f"at least lengths.low ({self.low})"
        require(self.high >= self.low, "lengths.high", self.high, allowed)
        check_entries(
            "lengths.high_by_family",
            self.high_by_family,
            self.high_by_family,
            lambda most: self.low <= most <= self.high and most == int(most),
            f"an integer from {self.low} to {self.high}",
        )
        ok = all(1 <= length <= self.high for length in self.checked)
        allowed = f"a list of integers from 1 to {self.high}"
        require(ok, "lengths.checked", self.checked, allowed)

    def longest(self, family: str) -> int:
        return int(self.high_by_family.get(family, self.high))


@dataclass(frozen=True)
class EnvelopeConfig:
    """What speedups are measured against: Adam's lowest loss at each of some lengths.

    Args:
      rates: Learning rates of Adam.
      lengths: Lengths of its runs, growing; each is a separate run.
    """

    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
    lengths: tuple[int, ...] = (100, 200, 400, 800, 1600, 3200, 6400)

    def __post_init__(self) -> None:
        complete(self, "envelope")
        ok = len(self.rates) > 0 and min(self.rates) > 0
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
      average: Decay, a generation, of the running average of the means, whose end is the result.
        It begins at the start.
      below: What the log2 of a speedup counts for below -3: ``"cut"`` is -3; ``"logarithm"`` falls
        on, more and more slowly, so that of two losses that exploded the lower one is better.
    """

    generations: int = setting(200, 1, 10**6)
    population: int = setting(16, 4, 65_536)
    tasks: int = setting(4, 1, 10_000)
    sigma: float = setting(0.5, 1e-6, 100.0)
    least: float = setting(0.1, 0.0, 100.0)
    average: float = setting(0.9, 0.0, 0.999999)
    below: str = setting("cut", "cut", "logarithm")

    def __post_init__(self) -> None:
        complete(self, "strategy")
        even = self.population % 2 == 0
        require(even, "strategy.population", self.population, "an even number")
        allowed = f"at most strategy.sigma ({self.sigma})"
        require(self.least <= self.sigma, "strategy.least", self.least, allowed)


@dataclass(frozen=True)
class SearchConfig(JsonConfig):
    """A search, completely: equal configs give equal numbers on one machine.

    Args:
      numbers: For each number (`velo.handmade.numbers`) where the search starts and its scale: how
        far from there the search looks at first, times ``strategy.sigma``. With a scale of 0 it
        stays. The scale of positive numbers is that of their logarithm.
      method: ``"search"``.
      seed: Seed of everything random except the sampling of tasks.
      architecture: Size of the learned optimizer; ``init`` is ``"features"``.
      tasks: What it is trained on; each task of the pool gets its augmentations once and for all.
        Validation tasks, mixture and ``vary`` are not used.
      lengths: How long runs are.
      envelope: What speedups are measured against.
      strategy: How candidates are made.
      schema: Version of this form.

    Raises:
      SpecError: A field has the wrong type or is out of range.

    Examples:
      >>> config = velodrome.SearchConfig(numbers={"step": (0.02, 0.5), "small": (5.0, 1.0)})
      >>> config.searched
      ('step', 'small')
    """

    numbers: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    method: str = SEARCH
    seed: int = setting(0, 0, 2**62)
    architecture: ArchitectureConfig = ArchitectureConfig(init="features")
    tasks: TasksConfig = field(default_factory=lambda: TasksConfig(vary=()))
    lengths: LengthsConfig = field(default_factory=LengthsConfig)
    envelope: EnvelopeConfig = EnvelopeConfig()
    strategy: StrategyConfig = StrategyConfig()
    schema: int = setting(1, 1, 1)

    def __post_init__(self) -> None:
        allowed = f"{SEARCH!r}, or left out for an evolution"
        require(self.method == SEARCH, "method", self.method, allowed)
        complete(self)
        init = self.architecture.init
        require(init == "features", "architecture.init", init, "'features': the numbers are its")
        for name, least in (("hidden", LEAST_HIDDEN), ("bank", LEAST_BANK)):
            value = getattr(self.architecture, name)
            allowed = f"at least {least} for 'features'"
            require(value >= least, f"architecture.{name}", value, allowed)
        for name in ("mixture", "vary"):
            value = getattr(self.tasks, name)
            require(not value, f"tasks.{name}", value, "empty: a search does not use it")
        for name, pair in self.numbers.items():
            _check_number(name, *pair)
        for name in POSITIVE:
            require(name in self.numbers, "numbers", sorted(self.numbers), f"with {name!r}")
        ok = len(self.searched) > 1
        require(ok, "numbers", dict(self.numbers), "with two or more of a scale above 0")
        longest = self.envelope.lengths[-1]
        allowed = f"at most {longest}, the last of envelope.lengths"
        require(self.lengths.high <= longest, "lengths.high", self.lengths.high, allowed)
        check_entries(
            "lengths.high_by_family",
            self.lengths.high_by_family,
            self.tasks.families,
            lambda most: True,
            "",
        )

    @property
    def searched(self) -> tuple[str, ...]:
        """Names of the numbers that are searched, in order."""
        return tuple(name for name, (_, scale) in self.numbers.items() if scale > 0)

    @property
    def hash(self) -> str:
        """SHA-256 of all fields but the number of generations, so that a search can be extended."""
        values = self.to_json()
        values["strategy"].pop("generations")
        # The order of numbers is that of the candidates' coordinates.
        return content_hash([values, list(values["numbers"])])


def _check_number(name: str, start: float, scale: float) -> None:
    where, pair = f"numbers.{name}", (start, scale)
    try:
        check_number_name(name)
    except UnknownNameError as error:
        raise SpecError(where, pair, f"a number of the hand-made weights: {error}") from error
    require(scale >= 0, where, pair, "a pair with a scale of at least 0")
    require(name not in POSITIVE or start > 0, where, pair, "a pair with a positive start")
