"""Aggregates over tasks with both bootstrap intervals: same tasks, and new tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import SupportsFloat

import numpy as np
from jaxtyping import Bool, Float

from velodrome.results.speedup.resample import SeedResamples
from velodrome.results.speedup.stats import (
    FEW_TASKS,
    Aggregate,
    Interval,
    band,
    gather,
    interquartile_mean,
    interval,
    median,
    raise_censored,
    share_faster,
    uniforms,
)


class _Draws:
    """Bootstrap draws of seeds, and of tasks if asked, kept for several units of speedup."""

    def __init__(self, tables: Sequence[SeedResamples], *, new_tasks: bool) -> None:
        self._tables, self._new_tasks = tables, new_tasks
        self.which, uniform = uniforms(len(tables), new_tasks=new_tasks)
        self.log2 = gather(tables, self.which, uniform)

    @cached_property
    def raised(self) -> _Draws | None:
        """These draws with right-censored seeds far above all others; None without any."""
        censored = [table.censored for table in self._tables]
        if not any(found.any() for found in censored):
            return None
        tables = [
            replace(table, log2=raise_censored(table.log2, found))
            for table, found in zip(self._tables, censored, strict=True)
        ]
        return _Draws(tables, new_tasks=self._new_tasks)

    @cached_property
    def _medians(self) -> Float[np.ndarray, "repetition slot"]:
        return median(self.log2)

    def medians(self, shift: Float[np.ndarray, " task"]) -> Float[np.ndarray, "repetition slot"]:
        return self._medians + shift[self.which]

    def pooled(self, shift: Float[np.ndarray, " task"]) -> Float[np.ndarray, "repetition value"]:
        moved = self.log2 + shift[self.which][..., None]
        return moved.reshape(len(moved), -1)


class Sample:
    """One optimizer on a set of tasks, ready to be resampled.

    The stratified bootstrap draws seeds again within each task: same tasks, new seeds. The
    two-level one draws the tasks first: new tasks of the same sampler (Davison & Hinkley 1997,
    section 3.8). Shifts are in log2, one for each task, and turn steps into another unit.

    One seed says nothing about other seeds, and a few tasks nothing about other tasks: there is no
    interval for the same tasks unless a task has two seeds, and none for new tasks of fewer than
    :data:`~velodrome.results.speedup.stats.FEW_TASKS`.
    """

    def __init__(self, tables: Sequence[SeedResamples]) -> None:
        self.tables = tables

    @cached_property
    def _levels(self) -> tuple[_Draws, _Draws]:
        return _Draws(self.tables, new_tasks=False), _Draws(self.tables, new_tasks=True)

    @property
    def _seeds(self) -> int:
        """Seeds of the task that has the most."""
        return max((table.log2.shape[1] for table in self.tables), default=0)

    def median(self, value: Aggregate, shift: Float[np.ndarray, " task"]) -> Aggregate:
        """Return the median over tasks of the medians over seeds, with its intervals."""
        return self._between(value, lambda d: interval(median(d.medians(shift))))

    def iqm(self, value: Aggregate, shift: Float[np.ndarray, " task"]) -> Aggregate:
        """Return the interquartile mean over all seeds of all tasks, with its intervals."""
        return self._between(value, lambda d: interval(interquartile_mean(d.pooled(shift))))

    def share(
        self,
        per_task: Float[np.ndarray, " task"],
        censored: Bool[np.ndarray, " task"],
        shift: Float[np.ndarray, " task"],
        *,
        than: float,
    ) -> Aggregate:
        """Return the share of tasks faster than ``than``, with its intervals."""
        value, least = share_faster(per_task, censored, than=than), np.log2(than)
        return self._between(value, lambda d: band((d.medians(shift) > least).mean(axis=1)))

    def sorted_band(
        self, shift: Float[np.ndarray, " task"]
    ) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, " rank"]]:
        """Return the band of the sorted curve in log2: the central 95% at each rank, same tasks.

        NaN if no task has two seeds.
        """
        if self._seeds < 2:
            return np.full(len(self.tables), np.nan), np.full(len(self.tables), np.nan)
        return band(np.sort(self._levels[0].medians(shift), axis=1))

    def _between(
        self, value: Aggregate, of: Callable[[_Draws], tuple[SupportsFloat, SupportsFloat]]
    ) -> Aggregate:
        return value.between(
            _interval(self._levels[0], of) if self._seeds > 1 else Interval(),
            _interval(self._levels[1], of) if len(self.tables) >= FEW_TASKS else Interval(),
        )


def _interval(
    draws: _Draws, of: Callable[[_Draws], tuple[SupportsFloat, SupportsFloat]]
) -> Interval:
    """Return the interval over the draws, and which of its ends the baseline's budget sets."""
    low, high = map(float, of(draws))
    if draws.raised is None:
        return Interval(low, high)
    raised_low, raised_high = map(float, of(draws.raised))
    return Interval(low, high, low_open=raised_low > low, high_open=raised_high > high)
