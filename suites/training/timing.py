"""Seconds per step, measured separately: one lane alone, warm, in turns with the baseline.

Batched lanes say nothing about the time of one run, and one measurement says little about the
next on a machine that others use; so the optimizers of a task are measured in turns
(A B A B ...), and figures use the ratio to the baseline.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from velodrome.optimizers.spec import OptimizerSpec
from velodrome.results.store.optimizer_ref import OptimizerRef
from velodrome.results.store.plan import PlannedCell
from velodrome.suites.protocol import Protocol
from velodrome.suites.training.compiled_task import CompiledTask
from velodrome.suites.training.environment import device_description, threads, versions
from velodrome.suites.training.shard import ShardRunner
from velodrome.taskgen.numerics import numerics

#: Samples of each optimizer.
SAMPLES = 7

#: Seconds that a sample should take at least; shorter ones measure the clock and the dispatch.
SAMPLE_SECONDS = 0.04

#: An evaluation that takes longer than these seconds is timed once, a shorter one five times.
EVAL_SECONDS = 1.0


def time_task(
    runner: ShardRunner, task_index: int
) -> tuple[dict[str, dict[str, object]], dict[str, Exception]]:
    """Measure all optimizers of the suite on one task, in turns; not those of imported curves.

    Evaluations are not part of a step's seconds; optimizers run at the middle of their sweeps
    (time does not depend on the rate). A baseline that the suite lacks, because another store has
    its curves, is timed as well.

    Returns:
      For each cell of the task the record for `Store.write_timing`: ``seconds_per_step`` and
      ``baseline_seconds_per_step`` (each ``{median, spread, samples}``; spread is the
      interquartile range), ``ratio`` of the medians, ``compile_seconds`` and ``compile_cached``,
      ``memory_bytes`` that the training program needs, ``eval_seconds``, ``device``, ``threads``,
      ``versions``. ``baseline_seconds_per_step`` and ``ratio`` are None if the baseline cannot be
      run. And for each cell whose optimizer cannot be run, why.
    """
    protocol = runner.suite.protocol
    cells = (cell for cell in runner.store.plan.cells if not cell.optimizer.imported)
    mine = [cell for cell in cells if cell.task.index == task_index]
    with numerics():
        task = runner.task(task_index)
        timers: dict[str, _Timer] = {}
        failed: dict[str, Exception] = {}
        for cell in [*mine, *_other_baseline(mine, protocol)]:
            try:
                timers[cell.id] = _Timer(task, cell, runner.optimizer(cell.optimizer.name))
            except Exception as error:  # recorded for the cell; the others are timed
                failed[cell.id] = error
        calls = [timer.calls_per_sample() for timer in timers.values()]
        for _ in range(SAMPLES):
            for timer, count in zip(timers.values(), calls, strict=True):
                timer.samples.append(timer.sample(count))
        eval_seconds = {cell: timer.eval_seconds() for cell, timer in timers.items()}
        memory = {cell: timer.memory_bytes() for cell, timer in timers.items()}
    of_name = {timer.optimizer: _summary(timer.samples) for timer in timers.values()}
    base = of_name.get(protocol.baseline)
    spread = None if runner.placement is None else runner.placement.spread
    records: dict[str, dict[str, object]] = {}
    for cell in mine:
        if cell.id in failed:
            continue
        timer, summary = timers[cell.id], of_name[cell.optimizer.name]
        records[cell.id] = {
            "seconds_per_step": summary,
            "baseline_seconds_per_step": base,
            "ratio": None if base is None else summary["median"] / base["median"],
            "compile_seconds": timer.programs.train.seconds,
            "compile_cached": timer.programs.train.cached,
            "memory_bytes": memory[cell.id],
            "eval_seconds": eval_seconds[cell.id],
            "device": device_description(),
            **({} if spread is None else {"spread": spread.record()}),
            "threads": threads(),
            "versions": versions(),
        }
    return records, {cell.id: failed[cell.id] for cell in mine if cell.id in failed}


def _other_baseline(cells: Sequence[PlannedCell], protocol: Protocol) -> list[PlannedCell]:
    """Return a cell like the others for a baseline that they lack."""
    name = protocol.baseline
    if any(cell.optimizer.name == name for cell in cells):
        return []
    horizon = protocol.horizon(name)
    return [replace(cells[0], id="baseline", optimizer=OptimizerRef(name, name), horizon=horizon)]


class _Timer:
    """One lane that trains on a few batches over and over."""

    def __init__(self, task: CompiledTask, cell: PlannedCell, optimizer: OptimizerSpec):
        points = optimizer.points
        self._lane_batch = task.lane_batch(
            optimizer, cell.horizon, [0], [points[len(points) // 2]], [0]
        )
        self._data = task.data
        self.optimizer = cell.optimizer.name
        self.steps = cell.batching.block or task.suite.protocol.eval_every
        self.programs = self._lane_batch.programs
        self.samples: list[float] = []
        self._batches = task.data.training_block(0, 0, self.steps, cell.horizon)
        self._lane_batch.start(*self._lane_batch.initialize())
        self._call()  # compiles, if the shards have not done so
        jax.block_until_ready(self._lane_batch.state)

    def _call(self) -> None:
        self._lane_batch.train(self._batches, 0)

    def memory_bytes(self) -> int:
        """Return the bytes that the training program needs on each device."""
        lane_batch = self._lane_batch
        return sum(
            self.programs.train.memory(
                lane_batch.state,
                lane_batch.traced,
                self._batches,
                lane_batch.seed_argument,
                np.int32(0),
            )
        )

    def calls_per_sample(self) -> int:
        """Return how many calls make a sample of at least `SAMPLE_SECONDS`."""
        return max(1, int(np.ceil(SAMPLE_SECONDS / (self.sample(1) * self.steps))))

    def sample(self, calls: int) -> float:
        """Return the seconds per step of ``calls`` calls."""
        return _seconds(self._call, lambda: self._lane_batch.state, calls) / self.steps

    def eval_seconds(self) -> float:
        """Return the seconds of an evaluation on the train split."""
        batch = self._data.eval_batch("train", 0, 0)
        values: dict[str, jax.Array] = {}

        def evaluate() -> None:
            values.update(self._lane_batch.evaluate("train", batch, 0))

        evaluate()
        first = _seconds(evaluate, lambda: values, 1)
        more = 4 if first < EVAL_SECONDS else 0
        return statistics.median(
            [first, *(_seconds(evaluate, lambda: values, 1) for _ in range(more))]
        )


def _seconds(call: Callable[[], None], result: Callable[[], object], calls: int) -> float:
    jax.block_until_ready(result())
    start = time.perf_counter()
    for _ in range(calls):
        call()
    jax.block_until_ready(result())
    return (time.perf_counter() - start) / calls


def _summary(samples: list[float]) -> dict[str, Any]:
    first, median, third = statistics.quantiles(samples, n=4)
    return {"median": median, "spread": third - first, "samples": samples}
