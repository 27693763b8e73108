"""Measure sweeps: ``pytest benchmarks/test_sweep_throughput.py --benchmark-enable -s``.

The runner's lanes against a competent user's loop on equal tasks, data and evaluations: one jitted
and donated step, evaluation in one jitted call, nothing in the loop that waits for the device, one
run after another, and all cores for it. Both arms are warm, and take turns.

The runner's arm is what its worker processes do with a shard: one process for each core, pinned,
five lanes of one seed each. The user's arm is one process without limits.
"""

from __future__ import annotations

import os
import statistics
import time

import psutil
import pytest
from sweep_worker import LANES, TASKS, Worker

ROUNDS = 5


@pytest.mark.parametrize("name", list(TASKS))
def test_sweep_throughput(benchmark, name):
    steps, least = TASKS[name][4:]
    cores = sorted(os.sched_getaffinity(0))
    user = [Worker("user", name, [])]
    ours = [Worker("ours", name, [core]) for core in cores]
    try:
        for worker in (*user, *ours):
            worker.begin()
        for worker in (*user, *ours):
            worker.wait()  # compiled and warm

        def rounds() -> list[tuple[float, float]]:
            return [(_seconds(user), _seconds(ours) / len(ours)) for _ in range(ROUNDS)]

        before = [_cpu_seconds(arm) for arm in (user, ours)]
        seconds = benchmark.pedantic(rounds, rounds=1)
        spent = [_cpu_seconds(arm) - then for arm, then in zip((user, ours), before, strict=True)]
    finally:
        for worker in (*user, *ours):
            worker.end()
    ratios = [theirs / mine for theirs, mine in seconds]
    theirs, mine = (
        statistics.median(column) / LANES / steps for column in zip(*seconds, strict=True)
    )
    # On a machine that others use, this is steadier: how much less computing a lane takes.
    cpu_ratio = spent[0] / (spent[1] / len(ours))
    ratio = statistics.median(ratios)
    print(
        f"\n{name:22} user {theirs * 1e6:8.0f} us, runner {mine * 1e6:8.0f} us a step and lane: "
        f"{ratio:.2f}x ({min(ratios):.2f} to {max(ratios):.2f}), CPU time {cpu_ratio:.2f}x, "
        f"{len(cores)} cores"
    )
    benchmark.extra_info.update(
        ratio=ratio, cpu_ratio=cpu_ratio, lowest=min(ratios), highest=max(ratios)
    )
    assert ratio >= least


def _seconds(workers: list[Worker]) -> float:
    """Wall seconds in which each of the workers trains its lanes once."""
    start = time.perf_counter()
    for worker in workers:
        worker.begin()
    for worker in workers:
        worker.wait()
    return time.perf_counter() - start


def _cpu_seconds(workers: list[Worker]) -> float:
    times = [psutil.Process(worker.process.pid).cpu_times() for worker in workers]
    return sum(time.user + time.system for time in times)
