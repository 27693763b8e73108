"""Aggregates over tasks in log2, and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from results.resample import SeedResamples

# Above this share of right-censored values an aggregate is only a lower bound. The interquartile
# mean leaves out a quarter on either side, so up to here no censored value enters it.
MAX_CENSORED = 0.25
REPETITIONS = 2_000


@dataclass(frozen=True)
class Aggregate:
    """One number over tasks, as a ratio.

    Attributes:
      value: the ratio (or share); NaN without tasks.
      low: lower end of the 95% interval, NaN if there is none.
      high: upper end.
      lower_bound: print it as ">=".
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")
    lower_bound: bool = False


def median(log2: Float[np.ndarray, "*lead value"]) -> Float[np.ndarray, "*lead"]:
    """Median along the last axis; -inf (diverged) is the lowest value."""
    ordered = np.sort(log2, axis=-1)
    count = ordered.shape[-1]
    low, high = ordered[..., (count - 1) // 2], ordered[..., count // 2]
    # The plain mean of the two; of two equal infinities it is that infinity.
    return np.asarray(0.5 * (low + high))


def interquartile_mean(log2: Float[np.ndarray, "*lead value"]) -> Float[np.ndarray, "*lead"]:
    """Mean after leaving out a quarter of the values, rounded down, on either side.

    Agarwal et al. 2021 (arXiv 2108.13264), which is a 25% trimmed mean.
    """
    ordered = np.sort(log2, axis=-1)
    cut = ordered.shape[-1] // 4
    return np.asarray(ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1))


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
    raised = float(statistic(np.where(censored, np.maximum(log2, 0) + 1e3, log2)))
    bound = bool(censored.mean() > MAX_CENSORED) or raised > value
    return Aggregate(float(np.exp2(value)), lower_bound=bound and value > -np.inf)


def share_faster(
    log2: Float[np.ndarray, " task"], censored: Bool[np.ndarray, " task"], *, than: float
) -> Aggregate:
    """Share of tasks with a speedup above ``than``; censored ones below it are undecided."""
    if len(log2) == 0:
        return Aggregate(float("nan"))
    above = log2 > np.log2(than)
    undecided = censored & ~above
    return Aggregate(float(above.mean()), lower_bound=bool(undecided.any()))


def draw_seeds(
    tables: Sequence[SeedResamples], *, repetitions: int = REPETITIONS, seed: int = 0
) -> list[Float[np.ndarray, "repetition seed"]]:
    """Draws seeds anew in every task: the stratified bootstrap for "same tasks, new seeds".

    Returns:
      For each task, log2 speedups of the drawn candidate seeds in each repetition.
    """
    rng = np.random.default_rng(seed)
    return [
        table.log2[rng.choice(len(table.probability), size=repetitions, p=table.probability)]
        for table in tables
    ]


def interval(log2: Float[np.ndarray, " repetition"]) -> tuple[float, float]:
    """The central 95% of bootstrap repetitions, as ratios.

    Quantiles are values that occurred: interpolating to -inf would mean nothing.
    """
    low, high = np.quantile(log2, [0.025, 0.975], method="inverted_cdf")
    return float(np.exp2(low)), float(np.exp2(high))
