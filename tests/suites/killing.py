"""Runs a suite in children that are killed: ``python killing.py STORE KILLS SEED``.

Children are forked after the imports and before jax starts anything, so that each is up in a
moment; every one trains for real, in a separate process, and dies by a real SIGKILL.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import jax  # noqa: F401 - imported before the forks
import optax  # noqa: F401 - imported before the forks
import pyarrow.parquet  # noqa: F401 - imported before the forks
from flax import nnx  # noqa: F401 - imported before the forks

from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import LoadedSuite, make_plan
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.store_setup import open_store
from velodrome.suites.suite import Suite
from velodrome.suites.training import lanes
from velodrome.suites.training.compilation_cache import use_compilation_cache
from velodrome.suites.training.shard import ShardRunner
from velodrome.taskgen.spec import DataSpec, TaskSpec


def suite() -> Suite:
    spec = TaskSpec(
        family="mlp",
        config={"hidden_size": 24, "num_layers": 1, "image_size": 8},
        data=DataSpec("digits", shift=1),
        batch_size=32,
    )
    protocol = Protocol(steps=1000, seeds=2, baseline_multiple=2, learning_rates=(1e-3, 3e-2, 1e30))
    return Suite("killed", (spec,), protocol, ("adam", "sgd"))


class Beat:
    """A control that writes a byte at each mark, so that the parent can choose when to kill."""

    def __init__(self, pipe: int):
        self.pipe = pipe

    def report(self, **said: object) -> None:
        del said
        os.write(self.pipe, b".")

    def should_stop(self) -> bool:
        return False


def child(out: Path, pipe: int) -> None:
    """Train all shards that are not there, saving at every mark."""
    lanes.MARK_SECONDS = 0.03
    use_compilation_cache()
    if not Store.exists(out):
        open_store(LoadedSuite.of(suite()), out, make_plan(suite()))
    store = Store.open(out)
    runner = ShardRunner(store, checkpoint_seconds=0.0)
    for shard in store.plan.shards:
        if not store.has_shard(shard.id):
            runner.run_shard(shard.id, Beat(pipe))


def fork(out: Path) -> tuple[int, int]:
    """Start a child; return its process id and the pipe with its heartbeat."""
    reader, writer = os.pipe()
    process = os.fork()
    if process:
        os.close(writer)
        return process, reader
    os.close(reader)
    status = 1
    try:
        child(out, writer)
        status = 0
    finally:
        os._exit(status)


def run_once(out: Path, *, beats: int | None, delay: float) -> bool:
    """Run a child, killed ``delay`` seconds after ``beats`` beats (None: never).

    Return whether it was killed.
    """
    process, reader = fork(out)
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


def main(out: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    killed = 0
    while killed < kills:
        # Some die before the first mark, while they start, compile, or read a checkpoint.
        beats = chance.choice([0, 1, 2, 3, 5, 8])
        delay = chance.uniform(0.0, 1.0) if beats == 0 else chance.uniform(0.0, 0.04)
        if run_once(out, beats=beats, delay=delay):
            killed += 1
        else:  # everything is done: take something away, so that there is something to kill
            chance.choice(sorted((out / "shards").glob("[!.]*.parquet"))).unlink()
    run_once(out, beats=None, delay=0.0)
    print(f"killed {killed}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
