"""Seconds per step, measured apart: one lane alone, warm, in turns with the baseline's.

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

from velodrome.optimizers.registry import optimizers
from velodrome.results.store.plan import OptimizerRef, PlannedCell
from velodrome.suites.planning.plan import grid_points
from velodrome.suites.protocol import Protocol
from velodrome.suites.training.environment import device_description, threads, versions
from velodrome.suites.training.jax_config import numerics
from velodrome.suites.training.shard import TaskBench, Workshop

#: Samples of each optimizer.
SAMPLES = 7

#: Seconds that a sample should take at least; shorter ones measure the clock and the dispatch.
SAMPLE_SECONDS = 0.04

#: An evaluation that takes longer than these seconds is timed once, a shorter one five times.
EVAL_SECONDS = 1.0


def time_task(
    workshop: Workshop, task_index: int
) -> tuple[dict[str, dict[str, Any]], dict[str, Exception]]:
    """Measures all optimizers of the suite on one task, in turns.

    Evaluations are not part of a step's seconds; optimizers run at the middle of their sweeps
    (time does not depend on the rate).

    Args:
      workshop: Of a store.
      task_index: Index of the task in the suite.

    Returns:
      For each cell of the task the record for `Store.write_timing`: ``seconds_per_step`` and
      ``baseline_seconds_per_step`` (each ``{median, spread, samples}``; spread is the
      interquartile range), ``ratio`` of the medians, ``compile_seconds`` and ``compile_cached``,
      ``memory_bytes`` that the training program needs, ``eval_seconds``, ``device``, ``threads``,
      ``versions``. A baseline that the suite lacks, because another store has its curves, is
      timed all the same; ``baseline_seconds_per_step`` and ``ratio`` are None only if it cannot be
      run. And for each cell whose optimizer cannot be run, why.
    """
    mine = [cell for cell in workshop.store.plan.cells if cell.task.index == task_index]
    cells = [*mine, *_other_baseline(mine, workshop.suite.protocol)]
    with numerics():
        bench = workshop.bench(task_index)
        runners, failed = [], {}
        for cell in cells:
            try:
                runners.append(_Runner(bench, cell))
            except Exception as error:  # recorded for the cell; the others are timed
                failed[cell.id] = error
        cells = [cell for cell in cells if cell.id not in failed]
        calls = [runner.calls_per_sample() for runner in runners]
        for _ in range(SAMPLES):
            for runner, count in zip(runners, calls, strict=True):
                runner.samples.append(runner.sample(count))
        eval_seconds = [runner.eval_seconds() for runner in runners]
        memory = [runner.memory_bytes() for runner in runners]
    summaries = {
        cell.optimizer.name: _summary(runner.samples)
        for cell, runner in zip(cells, runners, strict=True)
    }
    base = summaries.get(workshop.suite.protocol.baseline)
    records = {}
    for cell, runner, evaluation, held in zip(cells, runners, eval_seconds, memory, strict=True):
        summary = summaries[cell.optimizer.name]
        records[cell.id] = {
            "seconds_per_step": summary,
            "baseline_seconds_per_step": base,
            "ratio": None if base is None else summary["median"] / base["median"],
            "compile_seconds": runner.programs.train.seconds,
            "compile_cached": runner.programs.train.cached,
            "memory_bytes": held,
            "eval_seconds": evaluation,
            "device": device_description(),
            "threads": threads(),
            "versions": versions(),
        }
    wanted = {cell.id for cell in mine}
    return (
        {cell: record for cell, record in records.items() if cell in wanted},
        {cell: error for cell, error in failed.items() if cell in wanted},
    )


def _other_baseline(cells: Sequence[PlannedCell], protocol: Protocol) -> list[PlannedCell]:
    """Returns a cell like the others for a baseline that they lack."""
    name = protocol.baseline
    if any(cell.optimizer.name == name for cell in cells):
        return []
    optimizer = OptimizerRef(name, name)
    return [replace(cells[0], id="baseline", optimizer=optimizer, horizon=protocol.horizon(name))]


class _Runner:
    """One lane that trains on the same few batches over and over."""

    def __init__(self, bench: TaskBench, cell: PlannedCell):
        optimizer = optimizers.get(cell.optimizer.name)
        points = grid_points(optimizer, bench.suite.protocol)
        group = bench.group(optimizer, cell.horizon, [0], [points[len(points) // 2]], [0])
        self.bench = bench
        self.steps = cell.batching.block or bench.suite.protocol.eval_every
        self.programs = group.programs
        self.samples: list[float] = []
        self._group = group
        self._batches = bench.data.training_block(0, 0, self.steps, cell.horizon)
        self._state = group.start(*group.initialize())
        self._call()  # compiles, if the shards have not done so
        jax.block_until_ready(self._state)

    def _call(self) -> None:
        group = self._group
        self._state = self.programs.train(
            self._state, group.traced, self._batches, group.seed_argument, np.int32(0)
        )

    def memory_bytes(self) -> int:
        """Returns the bytes that the training program needs."""
        group = self._group
        return self.programs.train.memory_bytes(
            self._state, group.traced, self._batches, group.seed_argument, np.int32(0)
        )

    def calls_per_sample(self) -> int:
        """How many calls make a sample of at least `SAMPLE_SECONDS`."""
        return max(1, int(np.ceil(SAMPLE_SECONDS / (self.sample(1) * self.steps))))

    def sample(self, calls: int) -> float:
        """Returns the seconds per step of ``calls`` calls."""
        return _seconds(self._call, lambda: self._state, calls) / self.steps

    def eval_seconds(self) -> float:
        """Returns the seconds of an evaluation on the train split."""
        batch = self.bench.data.eval_batch("train", 0, 0)
        values: dict[str, Any] = {}

        def evaluate() -> None:
            values.update(
                self.programs.evaluate(
                    "train", self._state, batch, self._group.seed_argument, np.int32(0)
                )
            )

        evaluate()
        first = _seconds(evaluate, lambda: values, 1)
        more = 4 if first < EVAL_SECONDS else 0
        return statistics.median(
            [first, *(_seconds(evaluate, lambda: values, 1) for _ in range(more))]
        )


def _seconds(call: Callable[[], None], result: Callable[[], Any], calls: int) -> float:
    jax.block_until_ready(result())
    start = time.perf_counter()
    for _ in range(calls):
        call()
    jax.block_until_ready(result())
    return (time.perf_counter() - start) / calls


def _summary(samples: list[float]) -> dict[str, Any]:
    first, median, third = statistics.quantiles(samples, n=4)
    return {"median": median, "spread": third - first, "samples": samples}
