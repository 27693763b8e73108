"""The hot loop: trains and evaluates the lanes of a shard, block by block of steps.

All lanes go through the steps together: the batches of a block are gathered once for each
seed, and every lane of the seed trains on them. Nothing in the loop waits for the device except
at the marks, about once a second, where values are fetched, diverged lanes are dropped, and the
caller may save or stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from velodrome.results.store.plan import Hyperparameters
from velodrome.suites.training import checkpoint
from velodrome.suites.training.programs import LanePrograms, LaneState, Traced
from velodrome.suites.training.records import Records
from velodrome.suites.training.sharding import Layout, choose_layout
from velodrome.suites.training.taskdata import TaskData

#: Seconds between marks that the loop aims at.
MARK_SECONDS = 0.5


class Group:
    """Lanes that one call of a program advances: one lane, or ``[seed, point]`` of them.

    Args:
      programs: The compiled programs.
      seeds: Seeds of the lanes; one, or the first axis of the lanes.
      points: Traced hyperparameters of the lanes; one, or the second axis of the lanes.
      numbers: Numbers of the lanes in the cell, ``[seed, point]`` in C order.
      vmap: Whether the programs have the two lane axes. They are then spread over the devices of
        this process, with lanes that only fill up where they do not divide.

    Attributes:
      numbers: Numbers of the lanes, i32[lanes]; -1 for those that only fill up.
      size: How many lanes there are, without those.
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
        self.state: Any = None
        if vmap:
            self.layout = layout = choose_layout(len(seeds), len(points))
            all_numbers = np.full((layout.seeds, layout.points), -1, np.int32)
            all_numbers[: len(seeds), : len(points)] = np.reshape(numbers, (len(seeds), -1))
            seeds = seeds + [seeds[-1]] * (layout.seeds - len(seeds))
            points = [*points, *[points[-1]] * (layout.points - len(points))]
            self.numbers = all_numbers.reshape(-1)
            self.seed_argument: Any = layout.place_seeds(np.asarray(seeds, np.uint32))
            self.traced = layout.place_points(
                Traced(
                    {
                        name: np.stack([_number(point[name]) for point in points])
                        for name in points[0]
                    },
                    np.arange(len(points), dtype=np.int32),
                )
            )
        else:
            self.layout = Layout(1, 1)
            self.numbers = np.asarray(numbers, np.int32)
            self.seed_argument = np.uint32(seeds[0])
            self.traced = Traced(
                {name: _number(value) for name, value in points[0].items()}, np.int32(0)
            )
        self.seeds = seeds

    def initialize(self) -> tuple[Any, Any]:
        """Returns parameters and state of the task; lanes of the same seeds start with the same."""
        return self.programs.shared.init(self.seed_argument)

    def start(self, params: Any, model_state: Any) -> LaneState:
        """Returns the state before the first update, from what :meth:`initialize` returned."""
        return self.place(self.programs.start(params, model_state, self.traced))

    def place(self, state: LaneState) -> LaneState:
        """Puts a state on the devices that compute its lanes."""
        return self.layout.place_lanes(state)

    def diverged_at(self) -> dict[int, int]:
        """Returns the step of divergence of each lane that has diverged."""
        steps = np.asarray(jax.device_get(self.state.diverged_at)).reshape(-1)
        return {
            int(lane): int(step)
            for lane, step in zip(self.numbers, steps, strict=True)
            if step >= 0 and lane >= 0
        }


class LaneLoop:
    """The lanes of a shard at some step.

    Args:
      data: The task's batches.
      groups: The lanes; together they are the shard.
      horizon: Updates that each lane makes.
      block: Updates in one call of a program, a divisor of the protocol's ``eval_every``; 0 is
        that itself.

    Attributes:
      step: Updates made.
      records: What was measured.
    """

    def __init__(self, data: TaskData, groups: list[Group], *, horizon: int, block: int = 0):
        self.data = data
        self.block = block or data.protocol.eval_every
        self.groups = groups
        self.horizon = horizon
        self.step = 0
        self.finished = False
        self.records = Records()
        self._diverged: dict[int, int] = {}
        self._heldout = set(data.protocol.evaluations(horizon, "heldout"))
        initial: dict[tuple[int, ...], tuple[Any, Any]] = {}
        for group in groups:
            seeds = tuple(group.seeds)
            if seeds not in initial:
                initial[seeds] = group.initialize()
            group.state = group.start(*initial[seeds])

    def run(self, mark: Callable[[LaneLoop], bool]) -> bool:
        """Trains to the horizon.

        Args:
          mark: Called about once a second, with everything up to ``step`` fetched. It returns
            whether to go on.

        Returns:
          Whether the horizon was reached (or all lanes have diverged); False if ``mark`` stopped.
        """
        stride, since, done = 1, time.monotonic(), 0
        while not self.finished:
            self._advance()
            done += 1
            if done < stride and not self.finished:
                continue
            self._fetch()
            elapsed = time.monotonic() - since
            # Twice the stride at most, so that a slow start says little about the rest.
            pace = MARK_SECONDS / max(elapsed / done, 1e-6)
            stride = max(1, min(2 * stride, int(pace)))
            if not mark(self) and not self.finished:
                return False
            since, done = time.monotonic(), 0
        return True

    def diverged_at(self) -> dict[int, int]:
        """Returns the step of divergence of each lane that has diverged."""
        found = dict(self._diverged)
        for group in self.groups:
            if group.state is not None:
                found.update(group.diverged_at())
        for lane, step in self.records.divergence().items():
            found[lane] = min(step, found.get(lane, step))
        return found

    def save(self, path: Path, meta: dict[str, Any]) -> None:
        """Writes a checkpoint: with it :meth:`restore` goes on bit for bit."""
        position = {
            "step": self.step,
            "finished": self.finished,
            "metrics": self.records.metrics,
            "alive": [group.alive for group in self.groups],
            "diverged": sorted(self._diverged.items()),
        }
        codes = self.records.codes()
        position["metrics"] = self.records.metrics
        states = [group.state for group in self.groups if group.alive]
        checkpoint.save(path, {**meta, "position": position}, codes, states)

    def restore(self, path: Path, meta: dict[str, Any]) -> None:
        """Goes on where :meth:`save` wrote ``path``; ``meta`` is what `load_meta` returned."""
        position = meta["position"]
        alive = [
            group for group, lives in zip(self.groups, position["alive"], strict=True) if lives
        ]
        codes, states = checkpoint.load(path, [group.state for group in alive])
        for group in self.groups:
            group.alive, group.state = False, None
        for group, state in zip(alive, states, strict=True):
            group.alive, group.state = True, group.place(state)
        self.step = position["step"]
        self.finished = position["finished"]
        self.records = Records(codes, position["metrics"])
        self._diverged = {int(lane): int(step) for lane, step in position["diverged"]}

    def _advance(self) -> None:
        """Evaluates if the present step is one to do so at, then makes the updates of a block."""
        groups = [group for group in self.groups if group.alive]
        if self.step % self.data.protocol.eval_every == 0:
            self._evaluate(groups)
        if self.step == self.horizon:
            self.finished = True
            return
        blocks: dict[Any, Any] = {}
        for group in groups:
            block = _shared(
                blocks,
                group,
                lambda seed: self.data.training_block(seed, self.step, self.block, self.horizon),
            )
            group.state = group.programs.train(
                group.state, group.traced, block, group.seed_argument, np.int32(self.step)
            )
        self.step += self.block

    def _evaluate(self, groups: list[Group]) -> None:
        evaluation = self.step // self.data.protocol.eval_every
        for split in ("train", "heldout"):
            if split == "heldout" and self.step not in self._heldout:
                continue
            batches: dict[Any, Any] = {}
            for group in groups:
                batch = _shared(
                    batches,
                    group,
                    lambda seed, s=split: self.data.eval_batch(s, seed, evaluation),
                )
                values = group.programs.evaluate(
                    split, group.state, batch, group.seed_argument, np.int32(self.step)
                )
                self.records.add(group.numbers, self.step, split, values)

    def _fetch(self) -> None:
        """Brings values to the host, and drops groups whose lanes have all diverged."""
        self.records.fetch()
        for group in self.groups:
            if not group.alive:
                continue
            diverged = group.diverged_at()
            if len(diverged) == group.size:
                # Its evaluations up to the step of divergence are made: that step is passed.
                self._diverged.update(diverged)
                group.alive, group.state = False, None
        if not any(group.alive for group in self.groups):
            self.finished = True


def _shared(made: dict[Any, Any], group: Group, make: Callable[[int], Any]) -> Any:
    """Returns the batch (or batches, on a seed axis) of a group, made once for each seed."""
    for seed in group.seeds:
        if seed not in made:
            made[seed] = make(seed)
    if not group.vmap:
        return made[group.seeds[0]]
    together = tuple(group.seeds)
    if together not in made:
        parts = [made[seed] for seed in group.seeds]
        stacked = jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *parts)
        made[together] = group.layout.place_seeds(stacked)
    return made[together]


def _number(value: Any) -> Any:
    """A traced hyperparameter as an array: float32, or int32 for integers."""
    if isinstance(value, bool) or not isinstance(value, int):
        return np.asarray(value, np.bool_ if isinstance(value, bool) else np.float32)
    return np.asarray(value, np.int32)
