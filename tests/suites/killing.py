"""Runs a suite in three children that are killed: ``python killing.py DIRECTORY KILLS STEPS``.

An undisturbed child runs it too, into a store beside that of the three.

Children are forked after the imports and before jax starts anything, so that each is up in a
moment; every one trains for real, in a separate process, and dies by a real SIGKILL.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import jax  # noqa: F401 - imported before the forks
import optax  # noqa: F401 - imported before the forks
import pyarrow.parquet  # noqa: F401 - imported before the forks
from flax import nnx  # noqa: F401 - imported before the forks

from velodrome.results.store import claims as claims_module
from velodrome.results.store.claims import Claims
from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import LoadedSuite, make_plan
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.engines.base import Job
from velodrome.suites.running.engines.pull import Worker, do_job
from velodrome.suites.running.jobs import jobs_left, tidy
from velodrome.suites.running.progress import Tracker
from velodrome.suites.running.store_setup import open_store
from velodrome.suites.suite import Suite
from velodrome.suites.training import lanes
from velodrome.suites.training.compilation_cache import use_compilation_cache
from velodrome.suites.training.shard import ShardRunner
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

CHILDREN = 3


def suite(steps: int) -> Suite:
    spec = TaskSpec(
        family="mlp",
        config={"hidden_size": 24, "num_layers": 1, "image_size": 8},
        data=DataSpec("digits", shift=1),
        batch_size=32,
    )
    protocol = Protocol(
        steps=steps, seeds=2, baseline_multiple=2, learning_rates=(1e-3, 3e-2, 1e30)
    )
    return Suite("killed", (spec,), protocol, ("adam", "sgd"))


class Beat(Tracker):
    """A display that writes a byte at each mark, so that the parent can choose when to kill."""

    def __init__(self, pipe: int):
        super().__init__()
        self.pipe = pipe

    def job_progress(self, job: Job, fraction: float, last_loss: Mapping[int, float]) -> None:
        del job, fraction, last_loss
        os.write(self.pipe, b".")


def child(out: Path, pipe: int, steps: int) -> None:
    """Train what is left, beside the other children, saving at every mark."""
    lanes.MARK_SECONDS = 0.03
    claims_module.HEARTBEAT_SECONDS = 0.05
    use_compilation_cache()
    if not Store.exists(out):
        open_store(LoadedSuite.of(suite(steps)), out, make_plan(suite(steps)))
    store = Store.open(out)
    tidy(store)
    runner = ShardRunner(store, checkpoint_seconds=0.0)
    jobs, _ = jobs_left(store, runner.suite, {}, timing=False)
    display, claims = Beat(pipe), Claims(out)
    do = functools.partial(do_job, runner)
    display.begin(store.plan, jobs)
    Worker(store, do, jobs, display, claims, since=claims.now()).run(threading.Event())


def fork(out: Path, steps: int) -> tuple[int, int]:
    """Start a child; return its process id and the pipe with its heartbeat."""
    reader, writer = os.pipe()
    process = os.fork()
    if process:
        os.close(writer)
        return process, reader
    os.close(reader)
    status = 1
    try:
        child(out, writer, steps)
        status = 0
    finally:
        os._exit(status)


def end(process: int, reader: int, *, beats: int | None, delay: float) -> bool:
    """Kill a child ``delay`` seconds after ``beats`` beats (None: never), if it is still there.

    Return whether it was killed.
    """
    with os.fdopen(reader, "rb", buffering=0) as pulse:
        seen = 0
        while beats is None or seen < beats:
            if not pulse.read(1):
                break
            seen += 1
        else:
            time.sleep(delay)
            os.kill(process, signal.SIGKILL)
    status = os.waitpid(process, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the child failed"
    return False


def main(directory: Path, kills: int, steps: int) -> None:
    end(*fork(directory / "undisturbed", steps), beats=None, delay=0.0)
    out, chance = directory / "killed", random.Random(1)
    killed, alive = 0, []
    while killed < kills:
        alive += [fork(out, steps) for _ in range(CHILDREN - len(alive))]
        victim = alive.pop(chance.randrange(len(alive)))
        # Some die before the first mark, while they start, compile, or read a checkpoint.
        beats = chance.choice([0, 1, 2, 3, 5, 8])
        delay = chance.uniform(0.0, 1.0) if beats == 0 else chance.uniform(0.0, 0.04)
        if end(*victim, beats=beats, delay=delay):
            killed += 1
        elif shards := sorted((out / "shards").glob("[!.]*.parquet")):
            # Everything is done: take something away, so that there is something to kill.
            chance.choice(shards).unlink()
    for victim in [*alive, fork(out, steps)]:
        end(*victim, beats=None, delay=0.0)
    print(f"killed {killed}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
