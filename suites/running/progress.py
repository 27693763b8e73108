"""Count how far a run is, cell by cell; displays show it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from velodrome.results.store.plan import Plan
from velodrome.suites.running.engines.base import SHARD, Job, Listener
from velodrome.suites.running.eta import Estimate


@runtime_checkable
class Progress(Listener, Protocol):
    """A display of a run."""

    def begin(self, plan: Plan, jobs: Sequence[Job]) -> None:
        """The run starts: ``jobs`` are to be done, the rest of the plan is done already."""

    def end(self) -> None:
        """The run is over, for whatever reason."""


@dataclass
class CellState:
    """How far a cell is.

    Attributes:
      lanes: Runs in the cell.
      done: Runs that are finished, fractions included.
      active: Shards that are being run.
      failed: Shards that failed for good.
      losses: Last train loss by lane.
    """

    task: str
    optimizer: str
    lanes: int = 0
    done: float = 0.0
    active: int = 0
    failed: int = 0
    losses: dict[int, float] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """The lowest last train loss of its lanes; NaN if none is known."""
        # A copy: the display's thread reads while another one writes.
        finite = [loss for loss in list(self.losses.values()) if math.isfinite(loss)]
        return min(finite, default=math.nan)


class Tracker:
    """Counts what a run has done and shows nothing; displays are built on it.

    Args:
      clock: Returns seconds.

    Attributes:
      cells: The state of each cell by id, in the plan's order.
      reasons: The messages of all failures.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.cells: dict[str, CellState] = {}
        self.reasons: set[str] = set()
        self._clock = clock
        self._started = clock()
        self._lanes: dict[str, int] = {}
        self._fractions: dict[str, float] = {}
        self._estimate = Estimate((), (), clock=clock)

    def begin(self, plan: Plan, jobs: Sequence[Job]) -> None:
        self._started = self._clock()
        self._estimate = Estimate(plan.cells, jobs, clock=self._clock)
        todo = {job.id for job in jobs if job.kind == SHARD}
        self._lanes = {shard.id: len(shard.lanes) for shard in plan.shards}
        for cell in plan.cells:
            lanes = len(cell.lanes)
            self.cells[cell.id] = CellState(
                cell.task.label, cell.optimizer.label, lanes, float(lanes)
            )
        for shard in plan.shards:
            if shard.id in todo:
                self.cells[shard.cell].done -= self._lanes[shard.id]

    def end(self) -> None:
        pass

    def job_started(self, job: Job) -> None:
        self.cells[job.cell].active += 1
        self._estimate.begin(job)

    def job_progress(self, job: Job, fraction: float, last_loss: Mapping[int, float]) -> None:
        self._estimate.advance(job, fraction)
        self._count(job, fraction)
        self.cells[job.cell].losses.update(last_loss)

    def job_finished(self, job: Job) -> None:
        self._estimate.finish(job)
        self._count(job, 1.0)
        self.cells[job.cell].active -= 1

    def job_failed(self, job: Job, kind: str, message: str, *, again: bool) -> None:
        del kind
        self.reasons.add(message)
        self._estimate.fail(job, again=again)
        self._count(job, 0.0)
        self.cells[job.cell].active -= 1
        self.cells[job.cell].failed += not again and job.kind == SHARD

    def say(self, message: str) -> None:
        pass

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._started

    @property
    def fraction(self) -> float:
        """The part of the work that is done, from 0 to 1; see `Estimate`."""
        return self._estimate.fraction

    @property
    def seconds_left(self) -> float:
        """Estimated from what this run has done so far; NaN at the beginning."""
        return self._estimate.seconds_left

    def _count(self, job: Job, fraction: float) -> None:
        before = self._fractions.get(job.id, 0.0)
        self._fractions[job.id] = fraction
        if job.kind == SHARD:
            self.cells[job.cell].done += (fraction - before) * self._lanes[job.id]
