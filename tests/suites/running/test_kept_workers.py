"""Workers are kept from one stage of a sweep to the next, with all that they have compiled."""

from __future__ import annotations

import io
import os
import shutil
import signal
import textwrap
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
import toys

from velodrome.results.store.claims import Claims
from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import LoadedSuite, make_plan
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.engines.base import SHARD, Job
from velodrome.suites.running.engines.orders import Orders
from velodrome.suites.running.engines.pull import Worker
from velodrome.suites.running.run import run
from velodrome.suites.running.store_setup import extended, open_store
from velodrome.suites.suite import Suite
from velodrome.suites.training import shard as shard_module
from velodrome.suites.training.shard import ShardRunner
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

# An optimizer of which each trace writes the number of its process into a file.
TRACED = """
import os
from pathlib import Path
import optax
import velodrome

def traced(learning_rate):
    def update(updates, state, params=None):
        with (Path(__file__).parents[1] / "traces").open("a") as file:
            file.write(f"{os.getpid()}\\n")
        return updates, state
    return optax.chain(
        optax.GradientTransformation(lambda params: optax.EmptyState(), update),
        optax.sgd(learning_rate),
    )

swept = velodrome.OptimizerSpec(
    name="swept", label="Swept", factory=traced, traced=frozenset({"learning_rate"}),
    grid={"learning_rate": (1e-3, 1e-2)},
)
"""


def suite(*optimizers: str, baseline: str = "adam", tasks: int = 1) -> Suite:
    specs = [
        TaskSpec("mlp", {"hidden_size": 4 + at, "image_size": 4}, DataSpec("digits"), 8)
        for at in range(tasks)
    ]
    protocol = Protocol(
        steps=20, seeds=2, baseline=baseline, baseline_multiple=5, eval_every=5, heldout_every=10,
        learning_rates=(1e-3, 1e-2),
    )  # fmt: skip
    return Suite("stages", tuple(specs), protocol, (baseline, *optimizers))


class Stages(toys.Recorder):
    """Counts stages, and may do something at the beginning of each but the first."""

    def __init__(self, between: Any = lambda: None):
        super().__init__()
        self.begun = 0
        self._between = between

    def begin(self, plan: Any, jobs: Any) -> None:
        super().begin(plan, jobs)
        self.begun += 1
        if self.begun > 1:
            self._between()


def test_a_worker_process_does_all_stages_and_traces_each_program_once(tmp_path: Path):
    (tmp_path / "code").mkdir()
    path = tmp_path / "code" / "swept.py"
    path.write_text(textwrap.dedent(TRACED))
    display = Stages()
    asked = suite("sgd", baseline=f"{path}:swept")
    run(asked, tmp_path / "staged", workers=1, timing=False, progress=display)
    assert display.begun > 2
    assert not display.failures
    staged = _traces_of_workers(tmp_path)
    assert len(staged) == 1  # one process
    chosen: dict[str, Any] = {"baseline": "exhaustive", "progress": "silent"}
    run(asked, tmp_path / "at-once", workers=1, timing=False, **chosen)
    assert _traces_of_workers(tmp_path) == staged


def _traces_of_workers(folder: Path) -> list[int]:
    """Return how often each worker process has traced the optimizer since the last call."""
    processes = Counter((folder / "traces").read_text().split())
    (folder / "traces").unlink()
    return [count for process, count in processes.items() if process != str(os.getpid())]


def test_a_worker_that_is_killed_between_two_stages_is_replaced(tmp_path: Path):
    killed: list[int] = []

    def kill() -> None:
        if not killed:
            (worker,) = psutil.Process().children()
            worker.send_signal(signal.SIGKILL)
            killed.append(worker.pid)

    display = Stages(kill)
    run(suite("sgd"), tmp_path, workers=1, timing=False, progress=display)
    assert killed and display.begun > 1
    assert not display.failures
    store = Store.open(tmp_path)
    assert all(store.has_shard(shard.id) for shard in store.plan.shards)
    assert not psutil.Process().children()  # and nobody is left


@pytest.mark.long
def test_two_kept_workers_make_the_runs_of_one_process(tmp_path: Path):
    asked = suite("sgd", tasks=2)
    run(asked, tmp_path / "one", workers=0, timing=False, progress="silent")
    display = Stages()
    run(asked, tmp_path / "two", workers=2, timing=False, progress=display)
    assert display.begun > 1 and not display.failures
    assert toys.contents(tmp_path / "two") == toys.contents(tmp_path / "one")


def test_a_worker_does_not_wait_for_what_others_have_done(tmp_path: Path):
    class Impatient(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise AssertionError("everything is done")

    with toys.registered(counting=toys.counting()):
        run(toys.bowl_suite("counting"), tmp_path, workers=0, timing=False, progress="silent")
        store = Store.open(tmp_path)
    jobs = [Job(SHARD, shard.id, shard.cell, 0, 1.0) for shard in store.plan.shards]
    claims = Claims(tmp_path)

    def do(job: Job, control: object) -> None:
        raise AssertionError(f"{job} is done")

    since = claims.now()
    worker = Worker(store, do, jobs, toys.Recorder(), claims, since=since, theirs=[0])
    worker.run(threading.Event(), Impatient())


def test_all_stages_in_this_process_share_their_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    built: list[int] = []
    original = shard_module.CompiledTask

    class Counted(original):
        def __init__(self, suite: Suite, task_index: int, **options: Any):
            built.append(task_index)
            super().__init__(suite, task_index, **options)

    monkeypatch.setattr(shard_module, "CompiledTask", Counted)
    display = Stages()
    run(suite("sgd", tasks=2), tmp_path, workers=0, timing=False, progress=display)
    assert display.begun > 1
    assert sorted(built) == [0, 1]


def _in_two_stages(directory: Path, chosen: Suite, *, forget: bool) -> Store:
    """Run the first stage of a sweep and a longer one, without the files of the first one's end."""
    loaded = LoadedSuite.of(chosen)
    plan = make_plan(loaded)
    first = {cell.id: {lane.run: 20 for lane in cell.lanes} for cell in plan.cells}
    store, _ = open_store(loaded, directory, plan, baseline_mode="decided", targets=first)
    runner = ShardRunner(store, loaded, checkpoint_seconds=60.0)
    for stop in (20, 40):
        targets = {cell.id: {lane.run: stop for lane in cell.lanes} for cell in plan.cells}
        store.take_plan(extended(store, loaded, store.plan, targets))
        if forget:
            runner = ShardRunner(store, loaded, checkpoint_seconds=60.0)
        runner.go_on(store)
        left = [shard for shard in store.plan.shards if not store.has_shard(shard.id)]
        if stop > 20:
            assert left
            shutil.rmtree(directory / "states")
        for shard in left:
            runner.run_shard(shard.id, Silent())
    return store


def test_a_run_goes_on_from_its_end_in_memory(tmp_path: Path):
    chosen = suite()
    kept = _in_two_stages(tmp_path / "kept", chosen, forget=False)
    later = [shard for shard in kept.shards() if shard.stop == 40]
    assert later and all(shard.begin == 20 and shard.after for shard in later)
    lost = _in_two_stages(tmp_path / "lost", chosen, forget=True)
    later = [shard for shard in lost.shards() if shard.stop == 40]
    assert later and all(shard.metadata.get("started_over") for shard in later)

    def losses(store: Store) -> list[Any]:
        return [cell.curves().values.tolist() for cell in store.cells()]

    assert losses(kept) == losses(lost)


def test_orders_come_one_by_one_and_end_with_their_source():
    orders = Orders()
    orders.take(io.StringIO('{"jobs": [1]}\n{"jobs": [2]}\n{"jobs": '))
    assert orders.stop.is_set() and orders.news.is_set()
    assert [order["jobs"] for order in orders] == [[1], [2]]  # half a line is none


class Silent:
    """A control that wants nothing."""

    def report(self, **said: object) -> None:
        del said

    def should_stop(self) -> bool:
        return False
