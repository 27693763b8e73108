"""How much of a run is done, and how long the rest takes, from what its jobs took so far.

Predictions of seconds are rough, for an unknown machine above all, and in short runs most of the
time goes into compiling. So what was measured in this run corrects what was predicted: first by
what other shards of the same cell took, else by those of the same optimizer, else by all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from velodrome.results.store.plan import PlannedCell
from velodrome.suites.running.engines.base import SHARD, Job

#: Seconds until the first steps of a cell are made: data, and compiling programs that grow with
#: the kernels of a step. On demo's and smoke's tasks, 2 to 14 s on a core of a server.
_STARTUP_SECONDS, _SECONDS_PER_KERNEL = 2.0, 0.1

#: A loop over more kernels than this is a loop in the program too, and compiled once.
_MOST_KERNELS = 100


def startup_seconds(cell: PlannedCell) -> float:
    """Predicts the seconds that pass before the first steps of a cell of a plan are made."""
    kernels = min(cell.cost.kernels, _MOST_KERNELS)
    return _STARTUP_SECONDS + _SECONDS_PER_KERNEL * kernels


@dataclass
class _Watch:
    """What is known of the course of a job.

    Attributes:
      job: The job; its weight is the predicted seconds of its work, without the cell's start-up.
      cell: The job's cell.
      optimizer: Label of the cell's optimizer.
      began: When it was begun (on the clock of the estimate); NaN before.
      first: When it first told of progress.
      first_fraction: How much was done then.
      last: When it last did.
      fraction: How much was done then.
      opens: Whether it was the first of its cell to be begun, and so compiles.
      over: Whether it is done, or failed for good.
    """

    job: Job
    cell: str
    optimizer: str
    began: float = math.nan
    first: float = math.nan
    first_fraction: float = 0.0
    last: float = math.nan
    fraction: float = 0.0
    opens: bool = False
    over: bool = False

    @property
    def running(self) -> bool:
        return not math.isnan(self.began) and not self.over

    def startup(self) -> float:
        """Measured seconds before its first step; NaN unless it opens its cell."""
        return self.first - self.began if self.opens else math.nan

    def work(self) -> tuple[float, float]:
        """Measured seconds of work, and what was predicted for as much work."""
        if math.isnan(self.first):
            return 0.0, 0.0
        since, before = (self.first, self.first_fraction) if self.opens else (self.began, 0.0)
        return self.last - since, self.job.weight * (self.fraction - before)


class Estimate:
    """Watches the jobs of a run.

    Args:
      cells: The cells of the plan.
      jobs: What is to be done.
      clock: Returns seconds.
    """

    def __init__(
        self,
        cells: Sequence[PlannedCell],
        jobs: Sequence[Job],
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._clock = clock
        of = {cell.id: cell for cell in cells}
        self._watches = {
            job.id: _Watch(job, job.cell, of[job.cell].optimizer.label) for job in jobs
        }
        self._startups = {job.cell: startup_seconds(of[job.cell]) for job in jobs}
        self._together = 1
        self._shown = 0.0

    def begin(self, job: Job) -> None:
        """The job is begun."""
        watch = self._watches[job.id]
        mates = [other for other in self._watches.values() if other.cell == watch.cell]
        watch.opens = job.kind == SHARD and not any(other.opens for other in mates)
        watch.began = self._clock()
        running = sum(other.running for other in self._watches.values())
        self._together = max(self._together, running)

    def advance(self, job: Job, fraction: float) -> None:
        """A part of the job, from 0 to 1, is done."""
        watch, now = self._watches[job.id], self._clock()
        if math.isnan(watch.first):
            watch.first, watch.first_fraction = now, fraction
        watch.last, watch.fraction = now, fraction

    def finish(self, job: Job) -> None:
        """The job is done."""
        self.advance(job, 1.0)
        self._watches[job.id].over = True

    def fail(self, job: Job, *, again: bool) -> None:
        """The job failed; with ``again`` it will be begun once more."""
        watch = self._watches[job.id]
        if again:
            self._watches[job.id] = _Watch(job, watch.cell, watch.optimizer)
        else:
            watch.last, watch.over = self._clock(), True

    @property
    def fraction(self) -> float:
        """The part of the work that is done, from 0 to 1, in seconds of all workers together.

        It never falls, though what is left may turn out to be more than was predicted.
        """
        spent = math.fsum(self._spent(watch) for watch in self._all())
        total = spent + math.fsum(self._left().values())
        self._shown = max(self._shown, spent / total if total else 1.0)
        return self._shown

    @property
    def seconds_left(self) -> float:
        """Wall seconds until all is done; NaN before any shard has made a step."""
        watches = self._all()
        left = self._left()
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
        """Seconds left by job."""
        watches = self._all()
        pace = _Pace(watches, self._startups)
        left = {}
        unopened = {watch.cell for watch in watches} - {w.cell for w in watches if w.opens}
        for watch in watches:
            if watch.over:
                left[watch.job.id] = 0.0
                continue
            seconds = (1 - watch.fraction) * watch.job.weight
            if watch.job.kind == SHARD:
                seconds *= pace.of_work(watch)
                if watch.cell in unopened:
                    unopened.discard(watch.cell)
                    seconds += self._startups[watch.cell] * pace.of_startups(watch)
                elif watch.opens and math.isnan(watch.first):
                    startup = self._startups[watch.cell] * pace.of_startups(watch)
                    seconds += max(0.0, startup - self._spent(watch))
            else:
                seconds = max(0.0, seconds - self._spent(watch))
            left[watch.job.id] = seconds
        return left


class _Pace:
    """Measured seconds over predicted ones."""

    def __init__(self, watches: Sequence[_Watch], startups: Mapping[str, float]):
        self._work: dict[str, tuple[float, float]] = {}
        self._startup: dict[str, tuple[float, float]] = {}
        for watch in watches:
            if watch.job.kind != SHARD:
                continue
            for key in _keys(watch):
                _add(self._work, key, *watch.work())
            measured = watch.startup()
            if not math.isnan(measured):
                for key in _keys(watch):
                    _add(self._startup, key, measured, startups[watch.cell])

    def of_work(self, watch: _Watch) -> float:
        """How many times as long as predicted its work takes, by what is closest to it."""
        return _ratio(self._work, watch)

    def of_startups(self, watch: _Watch) -> float:
        """The same of the seconds before the first step."""
        return _ratio(self._startup, watch)


def _keys(watch: _Watch) -> tuple[str, str, str]:
    return f"cell {watch.cell}", f"optimizer {watch.optimizer}", "all"


def _add(sums: dict[str, tuple[float, float]], key: str, measured: float, predicted: float) -> None:
    before = sums.get(key, (0.0, 0.0))
    sums[key] = before[0] + measured, before[1] + predicted


def _ratio(sums: Mapping[str, tuple[float, float]], watch: _Watch) -> float:
    for key in _keys(watch):
        measured, predicted = sums.get(key, (0.0, 0.0))
        if measured > 0 and predicted > 0:
            return measured / predicted
    return 1.0
