"""Aggregates over tasks in log2, and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int

from velodrome.results.speedup.resample import SeedResamples

# Above this share of right-censored values an aggregate is only a lower bound. The interquartile
# mean leaves out a quarter on either side, so up to here no censored value enters it.
MAX_CENSORED = 0.25
REPETITIONS = 2_000
"""Draws of a bootstrap."""
BAND_SEEDS = 5
"""Fewest seeds for an interval of one task: 3 seeds have 10 different draws, 5 have 126."""
FEW_TASKS = 5
"""Fewest tasks for an interval over new tasks; fewer are shown one by one."""
CENTRAL = (0.025, 0.975)
"""Between these quantiles lies the central 95%."""
_NAN = float("nan")


@dataclass(frozen=True)
class Interval:
    """A 95% interval of ratios, NaN if there is none.

    An end is open if larger values in place of the censored ones would move it: it is only a
    lower bound.
    """

    low: float = _NAN
    high: float = _NAN
    low_open: bool = False
    high_open: bool = False


@dataclass(frozen=True)
class Aggregate:
    """One number over tasks, as a ratio (or share); NaN without tasks.

    Attributes:
      lower_bound: Print the value as ">=".
      same_tasks: Interval for the same tasks and new seeds.
      new_tasks: Interval for new tasks and new seeds.
    """

    value: float
    lower_bound: bool = False
    same_tasks: Interval = Interval()
    new_tasks: Interval = Interval()

    def between(self, same_tasks: Interval, new_tasks: Interval) -> Aggregate:
        """Return the number with its two intervals."""
        # Draws are censored as the value is, so the upper end of a lower bound is open too.
        same_tasks, new_tasks = (
            replace(ends, high_open=not np.isnan(ends.low) and (ends.high_open or self.lower_bound))
            for ends in (same_tasks, new_tasks)
        )
        return replace(self, same_tasks=same_tasks, new_tasks=new_tasks)

    def row(self) -> dict[str, float | bool]:
        """Return its columns in a tidy table: ``value``, ``low``, ``low_new_tasks``, ..."""
        same, new = self.same_tasks, self.new_tasks
        return {
            "value": self.value, "lower_bound": self.lower_bound,
            "low": same.low, "high": same.high,
            "low_open": same.low_open, "high_open": same.high_open,
            "low_new_tasks": new.low, "high_new_tasks": new.high,
            "low_new_tasks_open": new.low_open, "high_new_tasks_open": new.high_open,
        }  # fmt: skip

    @classmethod
    def from_row(cls, row: Mapping[Hashable, Any], *, value: str = "value") -> Aggregate:
        """Read what :meth:`row` made; ``value`` names the column of the number."""
        same, new = (
            Interval(
                float(row[f"low{of}"]), float(row[f"high{of}"]),
                bool(row[f"low{of}_open"]), bool(row[f"high{of}_open"]),
            )
            for of in ("", "_new_tasks")
        )  # fmt: skip
        return cls(float(row[value]), bool(row["lower_bound"]), same, new)


def median(log2: Float[np.ndarray, "*lead value"]) -> Float[np.ndarray, "*lead"]:
    """Return the median along the last axis; -inf (diverged) is the lowest, NaN stands for none."""
    ordered = np.sort(log2, axis=-1)  # NaN comes last
    count = _count(ordered)
    low, high = (
        np.take_along_axis(ordered, at[..., None], axis=-1)[..., 0]
        for at in (np.maximum(count - 1, 0) // 2, np.maximum(count, 1) // 2)
    )
    # The plain mean of the two; two equal infinities give that infinity.
    return np.asarray(0.5 * (low + high))


def interquartile_mean(log2: Float[np.ndarray, "*lead value"]) -> Float[np.ndarray, "*lead"]:
    """Return the mean after leaving out a quarter of the values, rounded down, on either side.

    Agarwal et al. 2021 (arXiv 2108.13264), which is a 25% trimmed mean. NaN stands for none.
    """
    ordered = np.sort(log2, axis=-1)  # NaN comes last
    count = _count(ordered)[..., None]
    cut, at = count // 4, np.arange(ordered.shape[-1], dtype=np.int64)
    kept = (at >= cut) & (at < count - cut)
    total = np.where(kept, ordered, 0.0).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / kept.sum(axis=-1))


def _count(ordered: np.ndarray) -> npt.NDArray[np.int64]:
    return np.asarray((~np.isnan(ordered)).sum(axis=-1), dtype=np.int64)


def aggregate(
    log2: Float[np.ndarray, " value"],
    censored: Bool[np.ndarray, " value"],
    statistic: Callable[[np.ndarray], np.ndarray],
) -> Aggregate:
    """Apply a statistic to log2 speedups, some of which are right-censored.

    It is marked as a lower bound when more than a quarter of the values is right-censored, or
    when larger values in their place would change it.
    """
    if len(log2) == 0:
        return Aggregate(_NAN)
    value = float(statistic(log2))
    raised = float(statistic(raise_censored(log2, censored)))
    bound = bool(censored.mean() > MAX_CENSORED) or raised > value
    return Aggregate(float(np.exp2(value)), lower_bound=bound and value > -np.inf)


def raise_censored(
    log2: Float[np.ndarray, "*shape"], censored: Bool[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """Put censored values far above all others, so that whatever depends on them moves."""
    return np.where(censored, np.maximum(log2, 0) + 1e3, log2)


def share_faster(
    log2: Float[np.ndarray, " task"], censored: Bool[np.ndarray, " task"], *, than: float
) -> Aggregate:
    """Return the share of tasks with a speedup above ``than``.

    It is a lower bound if a task is censored below ``than``, which leaves it undecided.
    """
    if len(log2) == 0:
        return Aggregate(_NAN)
    above = log2 > np.log2(than)
    undecided = censored & ~above
    return Aggregate(float(above.mean()), lower_bound=bool(undecided.any()))


def uniforms(
    tasks: int, *, new_tasks: bool, repetitions: int = REPETITIONS, seed: int = 0
) -> tuple[Int[np.ndarray, "repetition slot"], Float[np.ndarray, "repetition slot"]]:
    """Return random numbers of a bootstrap: the task in each slot, and a number for its draw.

    Used for two optimizers, equal numbers give both the same draw of common seeds. With
    ``new_tasks`` as many tasks are drawn with replacement, and seeds again in each; without, every
    repetition has every task once ("same tasks, new seeds").
    """
    rng = np.random.default_rng(seed)
    uniform = rng.random((repetitions, tasks))
    if new_tasks:
        return rng.integers(0, tasks, (repetitions, tasks)), uniform
    return np.broadcast_to(np.arange(tasks), (repetitions, tasks)), uniform


def gather(
    tables: Sequence[SeedResamples],
    which: Int[np.ndarray, "repetition slot"],
    uniform: Float[np.ndarray, "repetition slot"],
) -> Float[np.ndarray, "repetition slot seed"]:
    """Return log2 speedups of the drawn seeds; NaN where a task has fewer seeds than others."""
    seeds = max(table.log2.shape[1] for table in tables)
    found = np.full((*which.shape, seeds), np.nan)
    for task, table in enumerate(tables):
        here = np.nonzero(which == task)
        drawn = table.log2[positions(table.probability, uniform[here])]
        found[(*here, slice(drawn.shape[1]))] = drawn
    return found


def positions(
    probability: Float[np.ndarray, " draw"], uniform: Float[np.ndarray, "*shape"]
) -> Int[np.ndarray, "*shape"]:
    """Turn uniform numbers in [0, 1) into draws of the given probabilities."""
    edges = np.cumsum(probability)
    # Rounding may leave the last edge below 1.
    return np.minimum(np.searchsorted(edges, uniform, side="right"), len(edges) - 1)


def weighted_interval(
    values: Float[np.ndarray, " draw"], probability: Float[np.ndarray, " draw"]
) -> tuple[float, float]:
    """Return the central 95% of a task's draws, without interpolation between values."""
    order = np.argsort(values)
    edges = np.cumsum(probability[order])
    at = np.minimum(np.searchsorted(edges, CENTRAL), len(order) - 1)
    low, high = values[order][at]
    return float(low), float(high)


def seed_interval(resamples: SeedResamples, *, seeds: int) -> tuple[float, float]:
    """Return the 95% interval of one task's speedup; NaN under :data:`BAND_SEEDS` ``seeds``."""
    if seeds < BAND_SEEDS:
        return _NAN, _NAN
    low, high = weighted_interval(median(resamples.log2), resamples.probability)
    return float(np.exp2(low)), float(np.exp2(high))


def interval(log2: Float[np.ndarray, " repetition"]) -> tuple[float, float]:
    """Return the central 95% of bootstrap repetitions, as ratios."""
    low, high = band(log2)
    return float(np.exp2(low)), float(np.exp2(high))


def band(
    values: Float[np.ndarray, "repetition ..."],
) -> tuple[Float[np.ndarray, ...], Float[np.ndarray, ...]]:
    """Return the ends of the central 95% over the first axis.

    Quantiles are values that occurred: interpolating to -inf would mean nothing.
    """
    low, high = np.quantile(values, CENTRAL, axis=0, method="inverted_cdf")
    return np.asarray(low), np.asarray(high)
