"""Measure batching: ``pytest benchmarks/test_batching_modes.py --benchmark-enable -s``.

The batching rule rests on these numbers (docs/explanation/batching.md): the ways to train lanes in
one thread, in CPU time, which is steady on a machine that others use.
"""

from __future__ import annotations

import json
import os

import pytest
from sweep_worker import TASKS, Worker


@pytest.mark.parametrize("name", [*(f"demo-{index}" for index in range(8)), *TASKS])
def test_batching_modes(benchmark, name):
    worker = Worker("modes", name, sorted(os.sched_getaffinity(0))[:1])
    try:
        worker.begin()
        assert worker.process.stdout is not None
        found = json.loads(
            benchmark.pedantic(worker.process.stdout.readline, rounds=1, iterations=1)
        )
    finally:
        worker.end()
    print("\n" + "  ".join(f"{name} {value}" for name, value in found.items()))
