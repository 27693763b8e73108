"""Meta-training on Ray workers, on one machine or many: they exchange seeds and losses only.

Every worker keeps the weights and the outer optimizer itself and applies the same reports in the
same order, so no gradient and, but for a worker's start, no weights travel. Workers on different
kinds of machine drift apart by rounding, as far as their losses are comparable all the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from velodrome.foundation.errors import SpecError, VelodromeError
from velodrome.foundation.ray_cluster import join_ray
from velodrome.optimizers.metatrain.config.config import MetaTrainConfig
from velodrome.optimizers.metatrain.es.exchange import Report
from velodrome.optimizers.metatrain.es.outer import OuterState
from velodrome.optimizers.metatrain.log import Record
from velodrome.optimizers.metatrain.trainer import MetaTrainer, TrainState
from velodrome.taskgen.numerics import numerics

#: Outer steps in a row without any report, after which the run gives up.
_MOST_EMPTY_STEPS = 3


class Replica:
    """A worker's trainer, and a state that follows from the reports of all workers.

    It begins at outer step ``index`` with the state ``outer``, of NumPy arrays.
    """

    @numerics()
    def __init__(
        self,
        config: Record,
        outer: OuterState,
        index: int,
        make_trainer: Callable[[MetaTrainConfig], MetaTrainer] = MetaTrainer,
    ):
        self._trainer = make_trainer(MetaTrainConfig.from_json(config))
        self._state = TrainState(jax.tree.map(jnp.asarray, outer), {})
        self._index = index

    @numerics()
    def turn(self, index: int, previous: Sequence[bytes], slots: Sequence[int]) -> list[bytes]:
        """Apply the reports of the step before ``index``, then evaluate slots of it."""
        if index == self._index + 1:
            reports = [Report.from_bytes(content) for content in previous]
            outer, _ = self._trainer.apply(self._state.outer, self._index, reports)
            self._state = self._state._replace(outer=outer)
            self._index = index
        if index != self._index:
            raise VelodromeError(f"a worker at outer step {self._index} was asked for {index}.")
        reports, episodes = self._trainer.evaluate(self._state, index, slots)
        self._state = self._state._replace(episodes=episodes)
        return [report.to_bytes() for report in reports]


class RayTrainer(MetaTrainer):
    """A `MetaTrainer` whose evaluations are made by Ray workers.

    A worker that dies costs the pairs it was evaluating (and, with persistent ES, its inner
    problems under way); it is replaced, and counted in ``lost`` of the step's record.

    Args:
      workers: How many; task positions are dealt out to them in turn.
      make_trainer: Makes the trainer of each worker; it is sent there.

    Raises:
      SpecError: ``workers`` is not positive.
      VelodromeError: Ray is not installed.
    """

    def __init__(
        self,
        config: MetaTrainConfig,
        *,
        workers: int,
        make_trainer: Callable[[MetaTrainConfig], MetaTrainer] = MetaTrainer,
    ):
        if workers < 1:
            raise SpecError("workers", workers, "an integer of at least 1")
        super().__init__(config)
        self._ray, self._owns_ray = join_ray("meta-training with workers")
        self._make_trainer = make_trainer
        self._actors: list[Any] = [None] * workers
        self._previous: tuple[int, list[bytes]] = (-1, [])
        self._empty = 0

    @property
    def actors(self) -> list[Any]:
        """The workers' handles; None for one that is not started yet."""
        return list(self._actors)

    def step(self, state: TrainState, index: int) -> tuple[TrainState, Record]:
        """Make outer step ``index`` from the reports of the workers that live."""
        shares = self._shares(index)
        before, reports = self._previous
        previous = reports if before == index - 1 else []
        futures = {}
        for worker, slots in enumerate(shares):
            # Idle workers have a turn too: they follow the weights.
            actor = self._actor(worker, state, index)
            futures[worker] = actor.turn.remote(index, previous, slots)
        arrived: list[bytes] = []
        for worker, future in futures.items():
            try:
                arrived += self._ray.get(future)
            except self._ray.exceptions.RayActorError:
                self._actors[worker] = None  # started again, from the weights, at its next turn
        self._empty = 0 if arrived else self._empty + 1
        if self._empty >= _MOST_EMPTY_STEPS:
            raise VelodromeError(
                f"no worker reported anything for {self._empty} outer steps: see Ray's logs for "
                "why they end (often memory). The run can be resumed."
            )
        outer, record = self.apply(state.outer, index, list(map(Report.from_bytes, arrived)))
        self._previous = (index, arrived)
        estimator = self.config.estimator
        record["lost"] = estimator.pairs * estimator.tasks_per_step - record["pairs"]
        record["bytes"] = sum(map(len, arrived))
        return TrainState(outer, {}), record

    def close(self) -> None:
        """End the workers, and Ray if it was started here."""
        for actor in self._actors:
            if actor is not None:
                self._ray.kill(actor)
        self._actors = [None] * len(self._actors)
        if self._owns_ray:
            self._ray.shutdown()

    def _shares(self, index: int) -> list[list[int]]:
        """Return slots of each worker: by position, so that episodes stay where they are."""
        shares: list[list[int]] = [[] for _ in self._actors]
        for slot in range(self.config.estimator.tasks_per_step):
            shares[self.position(index, slot) % len(shares)].append(slot)
        return shares

    def _actor(self, worker: int, state: TrainState, index: int) -> Any:
        if self._actors[worker] is None:
            make = self._ray.remote(max_restarts=0, max_task_retries=0)(_Worker)
            settings = {
                name: getattr(jax.config, name)
                for name in ("jax_default_matmul_precision", "jax_numpy_rank_promotion")
            }
            outer = jax.tree.map(np.asarray, state.outer)
            self._actors[worker] = make.remote(
                settings, self.config.to_json(), outer, index, self._make_trainer
            )
        return self._actors[worker]


class _Worker:
    """A `Replica` in a Ray process, under the driver's numerical settings."""

    def __init__(self, settings: Record, *replica: Any):
        for name, value in settings.items():
            jax.config.update(name, value)
        self._replica = Replica(*replica)

    def turn(self, index: int, previous: Sequence[bytes], slots: Sequence[int]) -> list[bytes]:
        return self._replica.turn(index, previous, slots)

    def process(self) -> int:
        """Return the process id, for tests that end it."""
        return os.getpid()
