"""Estimate how much of a run is done, and how long the rest takes.

Predicted seconds are rough: they leave out compiling, which is most of a short run, and the
optimizers' work, which for a learned one can be most of a step. So what this run has measured
corrects them: first by other shards of the cell, else by those of the optimizer, else by all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from velodrome.results.store.plan import PlannedCell
from velodrome.suites.running.engines.base import SHARD, Job

#: Seconds until the first steps of a cell are made: data, and compiling programs that grow with
#: the kernels of a step. On demo's and smoke's tasks, 2 to 14 s on a core of a server.
_STARTUP_SECONDS, _SECONDS_PER_KERNEL = 2.0, 0.1

#: A loop over more kernels than this is a loop in the program too, and compiled once.
_MOST_KERNELS = 100


def startup_seconds(cell: PlannedCell) -> float:
    """Predict the seconds that pass before the first steps of a cell are made."""
    return _STARTUP_SECONDS + _SECONDS_PER_KERNEL * min(cell.cost.kernels, _MOST_KERNELS)


@dataclass
class _Watch:
    """The course of a job.

    Attributes:
      job: Its weight is the predicted seconds of its work, without the cell's start-up.
      optimizer: Label of the cell's optimizer.
      startup: Predicted seconds of the cell's start-up.
      began: When the job began (on the clock of the estimate); NaN before.
      first: When it first reported progress.
      first_fraction: How much was done then.
      last: When it last did.
      fraction: How much was done then.
      opens: Whether it was the first of its cell to begin, and so compiles.
      over: Whether it is done, or failed for good.
    """

    job: Job
    optimizer: str
    startup: float
    began: float = math.nan
    first: float = math.nan
    first_fraction: float = 0.0
    last: float = math.nan
    fraction: float = 0.0
    opens: bool = False
    over: bool = False

    def measured_startup(self) -> tuple[float, float]:
        """Measured seconds before the first step, and the predicted ones; zeros if unknown."""
        if not self.opens or math.isnan(self.first):
            return 0.0, 0.0
        return self.first - self.began, self.startup

    def measured_work(self) -> tuple[float, float]:
        """Measured seconds of work, and what was predicted for as much work."""
        if math.isnan(self.first):
            return 0.0, 0.0
        since, before = (self.first, self.first_fraction) if self.opens else (self.began, 0.0)
        return self.last - since, self.job.weight * (self.fraction - before)


class Estimate:
    """Estimates the time left from the jobs of a run; ``clock`` returns seconds."""

    def __init__(
        self,
        cells: Sequence[PlannedCell],
        jobs: Sequence[Job],
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._clock = clock
        known = {cell.id: cell for cell in cells}
        self._watches = {
            job.id: _Watch(job, known[job.cell].optimizer.label, startup_seconds(known[job.cell]))
            for job in jobs
        }
        self._together = 1
        self._shown = 0.0

    def begin(self, job: Job) -> None:
        watch = self._watches[job.id]
        mates = [other for other in self._watches.values() if other.job.cell == job.cell]
        watch.opens = job.kind == SHARD and not any(other.opens for other in mates)
        watch.began = self._clock()
        running = sum(
            not math.isnan(other.began) and not other.over for other in self._watches.values()
        )
        self._together = max(self._together, running)

    def advance(self, job: Job, fraction: float) -> None:
        """Note that a part of the job, from 0 to 1, is done."""
        watch, now = self._watches[job.id], self._clock()
        if math.isnan(watch.first):
            watch.first, watch.first_fraction = now, fraction
        watch.last, watch.fraction = now, fraction

    def finish(self, job: Job) -> None:
        self.advance(job, 1.0)
        self._watches[job.id].over = True

    def fail(self, job: Job, *, again: bool) -> None:
        """Note that the job failed; with ``again`` it will begin once more."""
        watch = self._watches[job.id]
        if again:
            self._watches[job.id] = _Watch(job, watch.optimizer, watch.startup)
        else:
            watch.last, watch.over = self._clock(), True

    @property
    def fraction(self) -> float:
        """The part of the work that is done, from 0 to 1, in seconds of all workers together.

        It never falls, though the rest may turn out to be more than was predicted.
        """
        spent = math.fsum(self._spent(watch) for watch in self._all())
        total = spent + math.fsum(self._left().values())
        self._shown = max(self._shown, spent / total if total else 1.0)
        return self._shown

    @property
    def seconds_left(self) -> float:
        """Wall seconds until all is done; NaN before any shard has made a step."""
        watches, left = self._all(), self._left()
        shards = [left[w.job.id] for w in watches if w.job.kind == SHARD and not w.over]
        timings = math.fsum(left[w.job.id] for w in watches if w.job.kind != SHARD)
        if not shards:
            return timings
        if all(math.isnan(watch.first) for watch in watches):
            return math.nan
        # Timings wait for the shards, and are made one after another.
        return max(math.fsum(shards) / min(self._together, len(shards)), *shards) + timings

    def _all(self) -> list[_Watch]:
        # A copy: a display's thread reads while another one writes.
        return list(self._watches.values())

    def _spent(self, watch: _Watch) -> float:
        if math.isnan(watch.began):
            return 0.0
        return (watch.last if watch.over else self._clock()) - watch.began

    def _left(self) -> dict[str, float]:
        watches = self._all()
        shards = [watch for watch in watches if watch.job.kind == SHARD]
        work = _Pace((watch, *watch.measured_work()) for watch in shards)
        startups = _Pace((watch, *watch.measured_startup()) for watch in shards)
        unopened = {w.job.cell for w in watches} - {w.job.cell for w in watches if w.opens}
        left = {}
        for watch in watches:
            seconds = 0.0 if watch.over else (1 - watch.fraction) * watch.job.weight
            if watch.job.kind != SHARD:
                seconds = max(0.0, seconds - self._spent(watch))
            elif not watch.over:
                seconds *= work.of(watch)
                startup = watch.startup * startups.of(watch)
                if watch.job.cell in unopened:
                    unopened.discard(watch.job.cell)
                    seconds += startup
                elif watch.opens and math.isnan(watch.first):
                    seconds += max(0.0, startup - self._spent(watch))
            left[watch.job.id] = seconds
        return left


class _Pace:
    """Measured seconds over predicted ones, by cell, by optimizer, and in all."""

    def __init__(self, found: Iterable[tuple[_Watch, float, float]]):
        self._sums: dict[str, tuple[float, float]] = {}
        for watch, measured, predicted in found:
            for key in _keys(watch):
                before = self._sums.get(key, (0.0, 0.0))
                self._sums[key] = before[0] + measured, before[1] + predicted

    def of(self, watch: _Watch) -> float:
        """Return the ratio of what is closest to a job and measured; 1 if nothing is."""
        for key in _keys(watch):
            measured, predicted = self._sums.get(key, (0.0, 0.0))
            if measured > 0 and predicted > 0:
                return measured / predicted
        return 1.0


def _keys(watch: _Watch) -> tuple[str, str, str]:
    return f"cell {watch.job.cell}", f"optimizer {watch.optimizer}", "all"
