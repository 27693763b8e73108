"""One candidate on one task as aggregates over tasks need it, and which of them are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from velodrome.results.speedup.resample import SeedResamples
from velodrome.results.speedup.speedup import format_ratio
from velodrome.results.speedup.stats import seed_interval

Unit = Literal["steps", "seconds", "cost", "cost-seconds"]
Split = Literal["train", "heldout"]
UNITS: tuple[Unit, ...] = ("steps", "seconds", "cost", "cost-seconds")
"""Units of a speedup.

``cost`` is the speedup in steps at equal total tuning cost: all K trials of the baseline run to the
horizon at which its winner is chosen, against the trials of the candidate run to theirs. The
envelope over rates reaches a loss at the first horizon whose winner has it, so this is the speedup
in steps times the ratio of the numbers of trials. ``cost-seconds`` is the same in seconds.
"""


@dataclass(frozen=True)
class SplitResult:
    """Speedup in steps of one candidate on one task, on one split, by the default definition.

    Attributes:
      ratio: The task's speedup, at the cap when censored.
      censored: Whether it is right-censored.
      log2_seeds: Log2 speedup of every seed, at the cap when censored, -inf when diverged.
      resamples: The speedup under other draws of the seeds.
    """

    ratio: float
    censored: bool
    log2_seeds: Float[np.ndarray, " seed"]
    resamples: SeedResamples

    def interval(self) -> tuple[float, float]:
        """Return its 95% interval; see :func:`velodrome.results.speedup.stats.seed_interval`."""
        return seed_interval(self.resamples, seeds=self.log2_seeds.size)


@dataclass(frozen=True)
class TaskResult:
    """What the headline needs of one candidate on one task.

    Attributes:
      row: Its row of the summary.
      splits: Its speedups; a split without one is left out.
      trials: Runs of the baseline's sweep for each of the candidate's, seeds not counted.
      near_trials: Those of its rates near the best one, for each of the candidate's.
    """

    row: Mapping[str, object]
    splits: Mapping[Split, SplitResult] = field(default_factory=dict[Split, SplitResult])
    trials: float = 1.0
    near_trials: float = 1.0

    def shift(self, unit: Unit) -> float:
        """Return log2 of what turns a speedup in steps into one in this unit; NaN if unknown."""
        shift = float(np.log2(self.trials)) if unit.startswith("cost") else 0.0
        if unit.endswith("seconds"):
            ratio = self.row.get("step_time_ratio")
            if not isinstance(ratio, float) or not ratio > 0:
                return float("nan")
            shift -= float(np.log2(ratio))
        return shift


@dataclass(frozen=True)
class Measured:
    """Those results that have a speedup on a split, in a unit.

    Attributes:
      places: Their positions among the results.
      splits: Their speedups in steps.
      shift: Log2 of what turns these into the unit.
      log2: Log2 of their speedups in the unit, -inf for 0, at the cap when censored.
      censored: Whether they are right-censored.
    """

    places: tuple[int, ...]
    results: tuple[TaskResult, ...]
    splits: tuple[SplitResult, ...]
    shift: Float[np.ndarray, " task"]
    log2: Float[np.ndarray, " task"]
    censored: Bool[np.ndarray, " task"]

    def shifted(self, by: Float[np.ndarray, " task"]) -> Measured:
        """Return the speedups in another unit, ``by`` in log2 from this one."""
        return replace(self, shift=self.shift + by, log2=self.log2 + by)

    @property
    def ceiling(self) -> float:
        """The largest speedup that could be observed on some task; 0 without tasks."""
        caps = [found.resamples.cap_log2 for found in self.splits]
        return float(np.exp2(np.max(caps + self.shift))) if caps else 0.0

    @property
    def each(self) -> str:
        """The speedups one by one, ascending: ``0.79x, >=5x``."""
        ratios = np.exp2(self.log2).round(9).tolist()  # a cap of 5 is 5 again
        ordered = sorted(zip(ratios, self.censored.tolist(), strict=True))
        return ", ".join(format_ratio(x, censored="right" if c else "no") for x, c in ordered)

    @property
    def seeds(self) -> int:
        """The smallest number of seeds of a task, 0 without tasks."""
        return min((found.log2_seeds.size for found in self.splits), default=0)


def measured(results: Sequence[TaskResult], *, unit: Unit, split: Split = "train") -> Measured:
    """Choose the results that have a speedup on ``split`` that is known in ``unit``."""
    places = tuple(
        place
        for place, result in enumerate(results)
        if split in result.splits and np.isfinite(result.shift(unit))
    )
    known = tuple(results[place] for place in places)
    splits = tuple(result.splits[split] for result in known)
    shift = np.array([result.shift(unit) for result in known], dtype=float)
    with np.errstate(divide="ignore"):
        log2 = np.log2(np.array([found.ratio for found in splits], dtype=float)) + shift
    censored = np.array([found.censored for found in splits], dtype=bool)
    return Measured(places, known, splits, shift, log2, censored)


def labels(results: Sequence[TaskResult]) -> list[str]:
    """Return the optimizers in the order of the results."""
    return list(dict.fromkeys(str(result.row["label"]) for result in results))


def unsaturated(results: Sequence[TaskResult], label: str) -> list[TaskResult]:
    """Return the results of one optimizer on tasks that are not saturated."""
    return [r for r in results if r.row["label"] == label and not r.row["saturated"]]
