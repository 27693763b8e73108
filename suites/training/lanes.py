"""The hot loop: trains and evaluates the lanes of a shard, block by block of steps.

All lanes go through the steps together: the batches of a block are gathered once for each
seed, and every lane of the seed trains on them. Nothing in the loop waits for the device except
at the marks, about once a second, where values are fetched, diverged lanes are dropped, and the
caller may save or stop; and where corpus metrics are computed, because the host does that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import PyTree

from velodrome.suites.training import checkpoint
from velodrome.suites.training.corpus import measure
from velodrome.suites.training.curve_buffer import CurveBuffer
from velodrome.suites.training.lane_batch import LaneBatch
from velodrome.suites.training.taskdata import TaskData

#: Seconds between marks that the loop aims at.
MARK_SECONDS = 0.5


class LaneLoop:
    """The lanes of a shard at some step.

    Args:
      lane_batches: The lanes; together they are the shard.
      horizon: Updates that each lane has made in the end.
      block: Updates in one call of a program, a divisor of the protocol's ``eval_every``; 0 is
        all from one evaluation to the next.

    Attributes:
      step: Updates made.
      buffer: The values measured so far.
    """

    def __init__(
        self, data: TaskData, lane_batches: list[LaneBatch], *, horizon: int, block: int = 0
    ):
        self.data = data
        self.block = block or data.protocol.eval_every
        self.lane_batches = lane_batches
        self.horizon = horizon
        self.begin = self.step = 0
        self.finished = False
        self.buffer = CurveBuffer()
        self._diverged: dict[int, int] = {}
        self._heldout = set(data.protocol.evaluations(horizon, "heldout"))
        initial: dict[tuple[int, ...], tuple[PyTree, PyTree]] = {}
        for lane_batch in lane_batches:
            seeds = tuple(lane_batch.seeds)
            if seeds not in initial:
                initial[seeds] = lane_batch.initialize()
            lane_batch.start(*initial[seeds])

    @property
    def fraction(self) -> float:
        """The part of the updates that is made."""
        return (self.step - self.begin) / max(1, self.horizon - self.begin)

    def go_on(self, step: int) -> None:
        """Continue from lanes that have made ``step`` updates, and were evaluated then."""
        self.begin = self.step = step

    def run(self, mark: Callable[[LaneLoop], bool]) -> bool:
        """Train to the horizon.

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
        """Return the step of divergence of each lane that has diverged."""
        found = dict(self._diverged)
        for lane_batch in self.lane_batches:
            found.update(lane_batch.diverged_at())
        for lane, step in self.buffer.divergence().items():
            found[lane] = min(step, found.get(lane, step))
        return found

    def save(self, path: Path, meta: Mapping[str, object]) -> None:
        """Write a checkpoint, from which :meth:`restore` continues bit for bit."""
        codes = self.buffer.codes()
        position = {
            "step": self.step,
            "begin": self.begin,
            "fraction": self.fraction,  # for the status of a store
            "finished": self.finished,
            "metrics": self.buffer.metrics,
            "alive": [lane_batch.alive for lane_batch in self.lane_batches],
            "diverged": sorted(self._diverged.items()),
        }
        states = [lane_batch.state for lane_batch in self.lane_batches if lane_batch.alive]
        checkpoint.save(path, {**meta, "position": position}, codes, states)

    def restore(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Continue from a checkpoint; ``meta`` is what `load_meta` returned for it."""
        position = meta["position"]
        alive = [
            lane_batch
            for lane_batch, lives in zip(self.lane_batches, position["alive"], strict=True)
            if lives
        ]
        codes, states = checkpoint.load(path, [lane_batch.state for lane_batch in alive])
        for lane_batch in self.lane_batches:
            lane_batch.drop()
        for lane_batch, state in zip(alive, states, strict=True):
            lane_batch.resume(state)
        self.step, self.begin = position["step"], position["begin"]
        self.finished = position["finished"]
        self.buffer = CurveBuffer(codes, position["metrics"])
        self._diverged = {int(lane): int(step) for lane, step in position["diverged"]}

    def _advance(self) -> None:
        """Evaluate if the present step is one to do so at, then make the updates of a block."""
        lane_batches = [lane_batch for lane_batch in self.lane_batches if lane_batch.alive]
        passed = 0 < self.begin == self.step  # it was evaluated where it was left
        if self.step % self.data.protocol.eval_every == 0 and not passed:
            self._evaluate(lane_batches)
        if self.step == self.horizon:
            self.finished = True
            return
        blocks = _Shared(
            lambda seed: self.data.training_block(seed, self.step, self.block, self.horizon)
        )
        for lane_batch in lane_batches:
            lane_batch.train(blocks.of(lane_batch), self.step)
        self.step += self.block

    def _evaluate(self, lane_batches: list[LaneBatch]) -> None:
        evaluation = self.step // self.data.protocol.eval_every
        for split in ("train", "heldout"):
            if split == "heldout" and self.step not in self._heldout:
                continue
            batches = _Shared(lambda seed, s=split: self.data.eval_batch(s, seed, evaluation))
            found: Sequence[Mapping[str, ArrayLike]] = [
                lane_batch.evaluate(split, batches.of(lane_batch), self.step)
                for lane_batch in lane_batches
            ]
            if split == "heldout":
                found = self._with_corpus(lane_batches, found)
            for lane_batch, values in zip(lane_batches, found, strict=True):
                self.buffer.add(lane_batch.numbers, self.step, split, values)

    def _with_corpus(
        self, lane_batches: list[LaneBatch], found: Sequence[Mapping[str, ArrayLike]]
    ) -> Sequence[Mapping[str, ArrayLike]]:
        """Add the corpus metrics, if the protocol asks for them."""
        if not lane_batches or (corpus := lane_batches[0].programs.shared.corpus) is None:
            return found
        measured = measure(
            corpus,
            self.data,
            lane_batches,
            [np.asarray(values["loss"]).reshape(-1) for values in found],
            together=lane_batches[0].programs.shared.corpus_slice,
        )
        return [{**values, **more} for values, more in zip(found, measured, strict=True)]

    def _fetch(self) -> None:
        """Bring values to the host, and drop lane batches whose lanes have all diverged."""
        self.buffer.fetch()
        for lane_batch in self.lane_batches:
            diverged = lane_batch.diverged_at()
            if lane_batch.alive and len(diverged) == lane_batch.size:
                # Its evaluations up to the step of divergence are made: that step is passed.
                self._diverged.update(diverged)
                lane_batch.drop()
        if not any(lane_batch.alive for lane_batch in self.lane_batches):
            self.finished = True


class _Shared:
    """The batches of a step or block, made once for each seed."""

    def __init__(self, make: Callable[[int], PyTree]):
        self._make = make
        self._of_seed: dict[int, PyTree] = {}
        self._stacked: dict[tuple[int, ...], PyTree] = {}

    def of(self, lane_batch: LaneBatch) -> PyTree:
        """Return the data for a batch of lanes; with lane axes, stacked on an axis of seeds."""
        for seed in lane_batch.seeds:
            if seed not in self._of_seed:
                self._of_seed[seed] = self._make(seed)
        if not lane_batch.vmap:
            return self._of_seed[lane_batch.seeds[0]]
        together = tuple(lane_batch.seeds)
        if together not in self._stacked:
            parts = [self._of_seed[seed] for seed in lane_batch.seeds]
            stacked = jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *parts)
            self._stacked[together] = lane_batch.layout.place_seeds(stacked)
        return self._stacked[together]
