"""Seconds per step, measured apart: one lane alone, warm, in turns with the baseline's.

Batched lanes say nothing about the time of one run, and one measurement says little about the
next on a machine that others use; so an optimizer and the baseline are measured in turns
(A B A B ...), and figures use the ratio.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from optimizers.registry import optimizers
from suites.environment import device_description, threads, versions
from suites.execute import TaskBench, Workshop
from suites.numerics import numerics
from suites.plan import find_cell, grid_points

#: Samples of each optimizer.
SAMPLES = 9

#: Seconds that a sample should take at least; shorter ones measure the clock and the dispatch.
SAMPLE_SECONDS = 0.04


def time_cell(workshop: Workshop, cell_id: str) -> dict[str, Any]:
    """Measures the optimizer of a cell against the suite's baseline, on the cell's task.

    Evaluations are not part of a step's seconds; the optimizer runs at the middle of its sweep
    (time does not depend on the rate).

    Args:
      workshop: Of the store that the cell belongs to.
      cell_id: Id of the cell.

    Returns:
      The record for `Store.write_timing`: ``seconds_per_step`` and ``baseline_seconds_per_step``
      (each ``{median, spread, samples}``; spread is the interquartile range), ``ratio`` of the
      medians, ``compile_seconds``, ``compile_cached``, ``eval_seconds``, ``device``, ``threads``,
      ``versions``. Without a baseline in the suite, the last two of the first four are None.
    """
    cell = find_cell(workshop.store.plan, cell_id)
    with numerics():
        bench = workshop.bench(cell["task"]["index"])
        baseline = workshop.suite.protocol.baseline
        ours = _Runner(bench, cell)
        theirs = None
        if cell["optimizer"]["name"] != baseline:
            found = [
                other
                for other in workshop.store.plan["cells"]
                if other["task"]["index"] == cell["task"]["index"]
                and other["optimizer"]["name"] == baseline
            ]
            theirs = _Runner(bench, found[0]) if found else None
        elif baseline in workshop.suite.optimizers:
            theirs = ours
        runners = [ours] if theirs in (None, ours) else [ours, theirs]
        samples = [runner.samples for runner in runners]
        calls = [runner.calls_per_sample() for runner in runners]
        for _ in range(SAMPLES):
            for runner, count, collected in zip(runners, calls, samples, strict=True):
                collected.append(runner.sample(count))
        eval_seconds = ours.eval_seconds()
    mine = _summary(ours.samples)
    base = None if theirs is None else _summary(theirs.samples)
    return {
        "seconds_per_step": mine,
        "baseline_seconds_per_step": base,
        "ratio": None if base is None else mine["median"] / base["median"],
        "compile_seconds": ours.programs.train.seconds,
        "compile_cached": ours.programs.train.cached,
        "eval_seconds": eval_seconds,
        "device": device_description(),
        "threads": threads(),
        "versions": versions(),
    }


class _Runner:
    """One lane that trains on the same few batches over and over."""

    def __init__(self, bench: TaskBench, cell: Mapping[str, Any]):
        optimizer = optimizers.get(cell["optimizer"]["name"])
        points = grid_points(optimizer, bench.suite.protocol)
        group = bench.group(optimizer, cell["horizon"], [0], [points[len(points) // 2]], [0])
        self.bench = bench
        self.steps = bench.suite.protocol.eval_every
        self.programs = group.programs
        self.samples: list[float] = []
        self._group = group
        self._batches = bench.data.training_block(0, 0, self.steps, cell["horizon"])
        self._state = group.start()
        self._call()  # compiles, if the shards have not done so
        self._call()
        jax.block_until_ready(self._state)

    def _call(self) -> None:
        group = self._group
        self._state = self.programs.train(
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
        return statistics.median(_seconds(evaluate, lambda: values, 1) for _ in range(5))


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
