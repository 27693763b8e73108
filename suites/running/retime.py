"""Measure the seconds of a store's tasks again, on this machine and with today's code."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from velodrome.results.store.store import Store
from velodrome.suites.running.engines.outcomes import failure_of
from velodrome.suites.training.shard import ShardRunner
from velodrome.suites.training.timing import time_task


@dataclass(frozen=True)
class Retimed:
    """What `retime` did: tasks measured, and why some of their optimizers could not be.

    Examples:
      >>> velodrome.Retimed(tasks=8, failed={}).tasks
      8
    """

    tasks: int
    failed: dict[str, str]


def retime(
    directory: str | os.PathLike[str],
    *,
    on_task: Callable[[int, int], object] = lambda done, tasks: None,
) -> Retimed:
    """Measure the seconds per step of a store's last question again; its curves stay.

    Each task's optimizers take turns with the baseline, as at the end of a run, so the ratio of
    both is of one machine at one time. A task's old measurement is there until the new one is. For
    measurements that others can use, nothing else may run meanwhile. Imported curves have no
    seconds, and get none.

    Args:
      directory: The store.
      on_task: Called before each task and at the end, with the number of tasks done and of all.

    Raises:
      StoreError: There is no store.
      PlanError: An optimizer, a task or its data are no longer what the store's runs were made
        with.

    Examples:
      >>> velodrome.retime("runs/demo").tasks  # doctest: +SKIP
      8
    """
    store = Store.open(directory)
    runner = ShardRunner(store, checkpoint_seconds=0.0)
    runner.check()
    tasks = sorted({cell.task.index for cell in store.plan.cells if not cell.optimizer.imported})
    why: dict[str, str] = {}
    for done, index in enumerate(tasks):
        on_task(done, len(tasks))
        timed, failed = time_task(runner, index)
        for cell, record in timed.items():
            store.write_timing(cell, record)
        for cell, error in failed.items():
            kind, message = failure_of(error)
            store.write_timing_failure(cell, kind, message)
            why[cell] = message
    on_task(len(tasks), len(tasks))
    return Retimed(len(tasks), why)
