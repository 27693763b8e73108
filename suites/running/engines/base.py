"""What engines share: jobs, and reports about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from velodrome.results.store.store import Store

SHARD = "shard"
TIMING = "timing"

#: How often a job is begun if its worker keeps being killed before it gets further.
ATTEMPTS = 2

#: Default seconds between checkpoints of a running shard.
CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True)
class Job:
    """A unit of work for an engine.

    Attributes:
      kind: ``"shard"`` (train it) or ``"timing"`` (measure the optimizers of a task).
      id: Id of the shard, or of the first cell of the task.
      cell: Id of the cell.
      task: Index of the task; jobs of a task share data and programs.
      weight: Predicted seconds, for the order and the display.
      memory_bytes: Predicted memory; jobs that do not fit together run one after the other.
    """

    kind: str
    id: str
    cell: str
    task: int
    weight: float
    memory_bytes: int = 0

    @property
    def name(self) -> str:
        """Its name among all jobs of a store."""
        return f"{self.kind}-{self.id}"


@runtime_checkable
class Listener(Protocol):
    """Receives reports from an engine; for progress displays."""

    def job_started(self, job: Job) -> None:
        """A job has begun, perhaps for the second time."""

    def job_progress(self, job: Job, fraction: float, last_loss: Mapping[int, float]) -> None:
        """A part of a job, from 0 to 1, is done; the last train loss by lane."""

    def job_finished(self, job: Job) -> None:
        """The job's file is in the store."""

    def job_failed(self, job: Job, kind: str, message: str, *, again: bool) -> None:
        """The job failed; ``again`` says whether it will be tried once more."""

    def say(self, message: str) -> None:
        """Show a message to the user."""


@runtime_checkable
class Engine(Protocol):
    """Runs jobs, and keeps what the next ones need as well until it is closed."""

    def run(self, store: Store, jobs: Sequence[Job], listener: Listener) -> None:
        """Run all jobs but those that others in the store do meanwhile, and wait for these.

        Failures are recorded in the store and do not stop the others.

        Raises:
          KeyboardInterrupt: The user asked to stop. Finished shards are in the store, and the
            others that had begun have a checkpoint there.
          VelodromeError: Nothing can run, or nothing can be written.
        """

    def close(self) -> None:
        """End what it keeps, such as worker processes."""
