"""Which engine runs the jobs of a run: the one that was asked for, or one that suits them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import jax

from velodrome.foundation.errors import PlanError, UnknownNameError
from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import LoadedSuite
from velodrome.suites.planning.spread import Spread
from velodrome.suites.running.engines.base import Engine, Job, Listener
from velodrome.suites.running.engines.inline import InlineEngine
from velodrome.suites.running.engines.outcomes import is_done
from velodrome.suites.running.engines.processes import ProcessEngine
from velodrome.suites.running.engines.ray_engine import RayEngine
from velodrome.suites.running.engines.slurm import SlurmEngine, minutes_of
from velodrome.suites.training.environment import free_memory, usable_cores

#: Runs that are predicted to be shorter, in seconds, do not pay for the start of workers.
INLINE_SECONDS = 5.0

#: The part of the free memory that workers may be predicted to take.
MEMORY_SHARE = 0.8


@dataclass(frozen=True)
class EngineChoice:
    """What the user said of engines; the arguments are those of `velodrome.run`.

    Raises:
      PlanError: They contradict each other.
      UnknownNameError: There is no such engine.
    """

    name: str | None
    workers: int | None
    time_limit: str | None
    partition: str | None
    gpus: float
    address: str | None
    checkpoint_seconds: float
    devices: int | str | None = None
    sharding: str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 0:
            raise PlanError(f"workers is {self.workers}; give 0 (this process) or more.")
        if (self.time_limit or self.partition) and self.name != "slurm":
            raise PlanError("time and partition are for --engine slurm; leave them out.")
        if (self.gpus and self.name is None) or (self.address and self.name != "ray"):
            raise PlanError("gpus are for an --engine, and an address for ray; leave them out.")
        if self.gpus < 0 or (self.name == "slurm" and self.gpus != int(self.gpus)):
            raise PlanError(f"gpus is {self.gpus:g}; give 0 or more, and with slurm whole ones.")
        if self.name not in (None, "ray", "slurm"):
            raise UnknownNameError("engine", str(self.name), ["ray", "slurm"])

    @functools.cached_property
    def spread(self) -> Spread | None:
        """The devices that train each run together, if the user asked for some.

        Raises:
          PlanError: They cannot be had with the other choices.
          SpecError: They are no number, or the sharding is unknown.
        """
        spread = Spread.of(self.devices, self.sharding, self._count)
        if spread is None:
            return None
        if self.name is None and self.workers:
            raise PlanError(
                f"workers is {self.workers}, but devices that train a run together do so in this "
                "process; leave one of the two out."
            )
        if self.name is not None and spread.devices > max(1.0, self.gpus):
            raise PlanError(
                f"{spread.devices} devices are asked for, and each worker has {self.gpus:g} GPUs; "
                f"give --gpus {spread.devices}."
            )
        return spread

    def _count(self) -> int:
        return jax.local_device_count() if self.name is None else max(1, int(self.gpus))

    @property
    def backend(self) -> str:
        """What the workers train on: ``"cpu"``, ``"gpu"`` or ``"tpu"``."""
        if self.name is None:
            return jax.default_backend()
        return "gpu" if self.gpus else "cpu"

    def remote(self, loaded: LoadedSuite) -> Engine | None:
        """Return the engine whose workers run elsewhere, if one was asked for.

        Raises:
          VelodromeError: What it needs is not installed.
        """
        if self.name == "slurm":
            return SlurmEngine(
                loaded.suite,
                workers=self.workers or 1,
                minutes=minutes_of(self.time_limit or "60"),
                partition=self.partition,
                gpus=int(self.gpus),
                checkpoint_seconds=self.checkpoint_seconds,
                spread=self.spread,
            )
        if self.name == "ray":
            return RayEngine(
                loaded.suite,
                workers=self.workers,
                address=self.address,
                gpus=self.gpus,
                checkpoint_seconds=self.checkpoint_seconds,
                spread=self.spread,
            )
        return None


class RunEngines:
    """The engines of a run, from its first job to its last: what they have started is kept.

    Args:
      remote: The engine of all jobs; None: one of this machine, chosen by the first ones.
    """

    def __init__(self, choice: EngineChoice, loaded: LoadedSuite, remote: Engine | None):
        self._choice, self._loaded = choice, loaded
        self._engine = remote
        self._inline: InlineEngine | None = None

    def close(self) -> None:
        """Close the engines that were started."""
        for engine in (self._engine, self._inline):
            if engine is not None:
                engine.close()

    def run(self, store: Store, jobs: Sequence[Job], to: Listener) -> None:
        """Run jobs; in this process if workers that nobody asked for cannot run them."""
        engine = self._engine or self._local(jobs)
        try:
            engine.run(store, jobs, to)
        except PlanError as error:
            if self._choice.workers is not None or not isinstance(engine, ProcessEngine):
                raise
            to.say(f"Running in this process instead: {error}")
            self._engine = self._here()
            self._engine.run(store, [job for job in jobs if not is_done(store, job)], to)

    def _local(self, jobs: Sequence[Job]) -> Engine:
        """Return the engine of this machine that suits some jobs."""
        workers, backend = self._choice.workers, self._choice.backend
        if self._choice.spread is not None:
            return self._here()
        if workers is None:
            if backend != "cpu" or sum(job.weight for job in jobs) <= INLINE_SECONDS:
                return self._here()  # a later stage may be longer
            workers = usable_cores()
        if workers == 0:
            return self._here()
        # Small tasks are launches of small kernels: several processes fill an accelerator that one
        # leaves waiting. The user who asks for them answers for their memory.
        memory = int(free_memory() * MEMORY_SHARE) if backend == "cpu" else None
        self._engine = ProcessEngine(
            workers,
            self._loaded.suite,
            checkpoint_seconds=self._choice.checkpoint_seconds,
            platform="cpu" if backend == "cpu" else "",
            memory_bytes=memory,
        )
        return self._engine

    def _here(self) -> InlineEngine:
        if self._inline is None:
            seconds = self._choice.checkpoint_seconds
            self._inline = InlineEngine(
                self._loaded, checkpoint_seconds=seconds, spread=self._choice.spread
            )
        return self._inline
