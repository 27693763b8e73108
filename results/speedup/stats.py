"""Aggregates over tasks in log2, and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from velodrome.results.speedup.resample import SeedResamples

# Above this share of right-censored values an aggregate is only a lower bound. The interquartile
# mean leaves out a quarter on either side, so up to here no censored value enters it.
MAX_CENSORED = 0.25
REPETITIONS = 2_000
"""Draws of a bootstrap."""
BAND_SEEDS = 5
"""Fewest seeds for an interval of one task: 3 seeds have 10 different draws, 5 have 126."""
CENTRAL = (0.025, 0.975)
"""Between these quantiles lies the central 95%."""


@dataclass(frozen=True)
class Ends:
    """The ends of an interval, NaN if there is none, and which of them are only lower bounds."""

    low: float = float("nan")
    high: float = float("nan")
    low_open: bool = False
    high_open: bool = False

    @property
    def is_there(self) -> bool:
        """Whether there is an interval."""
        return not np.isnan(self.low)


@dataclass(frozen=True)
class Aggregate:
    """One number over tasks, as a ratio.

    Attributes:
      value: the ratio (or share); NaN without tasks.
      low: lower end of the 95% interval for the same tasks and new seeds, NaN if there is none.
      high: its upper end.
      lower_bound: print it as ">=".
      low_new_tasks: lower end of the 95% interval for new tasks and new seeds.
      high_new_tasks: its upper end.
      low_open: larger values in place of the censored ones would move ``low``: it is a lower bound.
      high_open: the same of ``high``; also wherever the number itself is a lower bound.
      low_new_tasks_open: the same of ``low_new_tasks``.
      high_new_tasks_open: the same of ``high_new_tasks``, as for ``high``.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")
    lower_bound: bool = False
    low_new_tasks: float = float("nan")
    high_new_tasks: float = float("nan")
    low_open: bool = False
    high_open: bool = False
    low_new_tasks_open: bool = False
    high_new_tasks_open: bool = False

    def between(self, same: Ends, new: Ends) -> Aggregate:
        """The same number with its two intervals."""
        return Aggregate(
            self.value,
            same.low,
            same.high,
            self.lower_bound,
            new.low,
            new.high,
            low_open=same.low_open,
            high_open=same.is_there and (same.high_open or self.lower_bound),
            low_new_tasks_open=new.low_open,
            high_new_tasks_open=new.is_there and (new.high_open or self.lower_bound),
        )


def median(log2: Float[np.ndarray, "*lead value"]) -> Float[np.ndarray, "*lead"]:
    """Median along the last axis; -inf (diverged) is the lowest value, NaN stands for none."""
    ordered = np.sort(log2, axis=-1)  # NaN comes last
    count = _count(ordered)
    low, high = (
        np.take_along_axis(ordered, at[..., None], axis=-1)[..., 0]
        for at in (np.maximum(count - 1, 0) // 2, np.maximum(count, 1) // 2)
    )
    # The plain mean of the two; of two equal infinities it is that infinity.
    return np.asarray(0.5 * (low + high))


def interquartile_mean(log2: Float[np.ndarray, "*lead value"]) -> Float[np.ndarray, "*lead"]:
    """Mean after leaving out a quarter of the values, rounded down, on either side.

    Agarwal et al. 2021 (arXiv 2108.13264), which is a 25% trimmed mean. NaN stands for none.
    """
    ordered = np.sort(log2, axis=-1)  # NaN comes last
    count = _count(ordered)[..., None]
    cut, at = count // 4, np.arange(ordered.shape[-1])
    kept = (at >= cut) & (at < count - cut)
    total = np.where(kept, ordered, 0.0).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / kept.sum(axis=-1))


def _count(ordered: np.ndarray) -> np.ndarray:
    return np.asarray((~np.isnan(ordered)).sum(axis=-1))


def aggregate(
    log2: Float[np.ndarray, " value"],
    censored: Bool[np.ndarray, " value"],
    statistic: Callable[[np.ndarray], np.ndarray],
) -> Aggregate:
    """Applies a statistic to log2 speedups, some of which are right-censored.

    It is marked as a lower bound when more than a quarter of the values is right-censored, or
    when larger values in their place would change it.
    """
    if len(log2) == 0:
        return Aggregate(float("nan"))
    value = float(statistic(log2))
    raised = float(statistic(raise_censored(log2, censored)))
    bound = bool(censored.mean() > MAX_CENSORED) or raised > value
    return Aggregate(float(np.exp2(value)), lower_bound=bound and value > -np.inf)


def raise_censored(
    log2: Float[np.ndarray, "*shape"], censored: Bool[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """The same with censored values far above all others: what depends on them moves."""
    return np.where(censored, np.maximum(log2, 0) + 1e3, log2)


def share_faster(
    log2: Float[np.ndarray, " task"], censored: Bool[np.ndarray, " task"], *, than: float
) -> Aggregate:
    """Share of tasks with a speedup above ``than``; censored ones below it are undecided."""
    if len(log2) == 0:
        return Aggregate(float("nan"))
    above = log2 > np.log2(than)
    undecided = censored & ~above
    return Aggregate(float(above.mean()), lower_bound=bool(undecided.any()))


def uniforms(
    tasks: int, *, new_tasks: bool, repetitions: int = REPETITIONS, seed: int = 0
) -> tuple[Int[np.ndarray, "repetition slot"], Float[np.ndarray, "repetition slot"]]:
    """The random numbers of a bootstrap: which task stands in each slot, and which of its draws.

    Used for two optimizers, the same numbers give both the same draw of common seeds.

    Args:
      tasks: how many there are.
      new_tasks: False, "same tasks, new seeds": every task once in every repetition. True, "new
        tasks": as many tasks drawn with replacement, and seeds drawn anew in each.
      repetitions: of the bootstrap.
      seed: of the random numbers.
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
    """Log2 speedups of the drawn seeds of the drawn tasks; NaN where a task has fewer seeds."""
    seeds = max(table.log2.shape[1] for table in tables)
    found = np.full((*which.shape, seeds), np.nan)
    for task, table in enumerate(tables):
        here = which == task
        drawn = table.log2[positions(table.probability, uniform[here])]
        if table.log2.shape[1] == seeds:
            found[here] = drawn
        else:
            found[here] = np.pad(
                drawn, ((0, 0), (0, seeds - drawn.shape[1])), constant_values=np.nan
            )
    return found


def positions(
    probability: Float[np.ndarray, " draw"], uniform: Float[np.ndarray, "*shape"]
) -> Int[np.ndarray, "*shape"]:
    """Turns uniform numbers in [0, 1) into draws of the given probabilities."""
    edges = np.cumsum(probability)
    # Rounding may leave the last edge below 1.
    return np.minimum(np.searchsorted(edges, uniform, side="right"), len(edges) - 1)


def weighted_interval(
    values: Float[np.ndarray, " draw"], probability: Float[np.ndarray, " draw"]
) -> tuple[float, float]:
    """The central 95% of a task's draws, in the unit of ``values``, which are not interpolated."""
    order = np.argsort(values)
    edges = np.cumsum(probability[order])
    at = np.minimum(np.searchsorted(edges, CENTRAL), len(order) - 1)
    low, high = values[order][at]
    return float(low), float(high)


def interval(log2: Float[np.ndarray, " repetition"]) -> tuple[float, float]:
    """The central 95% of bootstrap repetitions, as ratios."""
    low, high = band(log2)
    return float(np.exp2(low)), float(np.exp2(high))


def band(
    values: Float[np.ndarray, "repetition ..."],
) -> tuple[Float[np.ndarray, ...], Float[np.ndarray, ...]]:
    """The ends of the central 95% over the first axis.

    Quantiles are values that occurred: interpolating to -inf would mean nothing.
    """
    low, high = np.quantile(values, CENTRAL, axis=0, method="inverted_cdf")
    return np.asarray(low), np.asarray(high)
