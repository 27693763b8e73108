"""`LaneBatch`: lanes that one call of a program advances, and their state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import PyTree

from velodrome.results.store.plan import Hyperparameters
from velodrome.suites.training import checkpoint
from velodrome.suites.training.programs import LanePrograms, LaneState, Traced
from velodrome.suites.training.sharding import Layout, choose_layout

Tree = TypeVar("Tree")


class LaneBatch:
    """Lanes that one call of a program advances: one lane, or ``[seed, point]`` of them.

    Args:
      seeds: Seeds of the lanes; one, or the first axis of the lanes.
      points: Traced hyperparameters of the lanes; one, or the second axis of the lanes.
      numbers: Numbers of the lanes in the cell, ``[seed, point]`` in C order.
      vmap: Whether the programs have the two lane axes. The lanes are then spread over the
        devices of this process, with lanes that only fill up where they do not divide.

    Attributes:
      numbers: Numbers of the lanes, i32[lanes]; -1 for those that only fill up.
      size: How many lanes there are, without those.
      state: None when all lanes have diverged, and before the start.
    """

    def __init__(
        self,
        programs: LanePrograms,
        seeds: list[int],
        points: Sequence[Hyperparameters],
        numbers: list[int],
        *,
        vmap: bool,
    ):
        self.programs = programs
        self.vmap = vmap
        self.size = len(numbers)
        self.alive = True
        self.state: LaneState | None = None
        self.seed_argument: ArrayLike
        if vmap:
            self.layout = layout = choose_layout(len(seeds), len(points))
            all_numbers = np.full((layout.seeds, layout.points), -1, np.int32)
            all_numbers[: len(seeds), : len(points)] = np.reshape(numbers, (len(seeds), -1))
            seeds = seeds + [seeds[-1]] * (layout.seeds - len(seeds))
            points = [*points, *[points[-1]] * (layout.points - len(points))]
            self.numbers = all_numbers.reshape(-1)
            self.seed_argument = layout.place_seeds(np.asarray(seeds, np.uint32))
            stacked = {
                name: np.stack([traced_number(point[name]) for point in points])
                for name in points[0]
            }
            self.traced = layout.place_points(
                Traced(stacked, np.arange(len(points), dtype=np.int32))
            )
        else:
            self.layout = Layout(1, 1)
            self.numbers = np.asarray(numbers, np.int32)
            self.seed_argument = np.uint32(seeds[0])
            self.traced = Traced(
                {name: traced_number(value) for name, value in points[0].items()}, np.int32(0)
            )
        self.seeds = seeds

    @property
    def shape(self) -> tuple[int, int]:
        """Lengths of the two lane axes, with the lanes that only fill up."""
        return self.layout.seeds, self.layout.points

    @property
    def state_bytes(self) -> int:
        """Bytes of the state of one lane."""
        whole = sum(checkpoint.data_of(leaf).nbytes for leaf in jax.tree.leaves(self.state))
        return whole // (self.shape[0] * self.shape[1])

    def initialize(self) -> tuple[PyTree, PyTree]:
        """Return parameters and state of the task, equal for all batches with these seeds."""
        return self._settled(self.programs.shared.init(self.seed_argument))

    def start(self, params: PyTree, model_state: PyTree) -> None:
        """Set the state before the first update, from what :meth:`initialize` returned."""
        self.resume(self._settled(self.programs.start(params, model_state, self.traced)))

    def resume(self, state: LaneState) -> None:
        """Set a state, on the devices that compute its lanes."""
        placement = self.programs.shared.placement
        place = self.layout.place_lanes if placement is None else placement.place_state
        self.alive, self.state = True, self._settled(place(state))

    def drop(self) -> None:
        """Free the state: all lanes have diverged."""
        self.alive, self.state = False, None

    def train(self, batches: PyTree, step: int) -> None:
        """Make one update for each of the batches, the first of them number ``step``."""
        self.state = self._settled(
            self.programs.train(
                self.state, self.traced, batches, self.seed_argument, np.int32(step)
            )
        )

    def evaluate(self, split: str, batch: PyTree, step: int) -> dict[str, jax.Array]:
        assert self.state is not None  # only live lanes are evaluated
        return self._settled(
            self.programs.evaluate(split, self.state, batch, self.seed_argument, np.int32(step))
        )

    def collect(self, batch: PyTree) -> dict[str, np.ndarray]:
        """Return what corpus metrics need of a batch: arrays ``[lanes, examples, ...]``."""
        assert self.state is not None  # only live lanes are evaluated
        found = jax.device_get(self._settled(self.programs.collect(self.state, batch)))
        axes = 2 if self.vmap else 0
        return {
            name: array.reshape(len(self.numbers), *array.shape[axes:])
            for name, array in found.items()
        }

    def _settled(self, made: Tree) -> Tree:
        """Return what a program made, once that may be used by the next one."""
        placement = self.programs.shared.placement
        return made if placement is None else placement.settled(made)

    def diverged_at(self) -> dict[int, int]:
        """Return the step of divergence of each lane that has diverged."""
        if self.state is None:
            return {}
        steps = np.asarray(jax.device_get(self.state.diverged_at)).reshape(-1)
        return {
            int(lane): int(step)
            for lane, step in zip(self.numbers, steps, strict=True)
            if step >= 0 and lane >= 0
        }


def traced_number(value: object) -> np.ndarray:
    """Return a traced hyperparameter as an array: float32, int32 for integers, or bool."""
    kind = np.float32
    if isinstance(value, bool | int):
        kind = np.bool_ if isinstance(value, bool) else np.int32
    return np.asarray(value, kind)
