"""Workers of a SLURM array, as submitit's local executor starts them; see tests/slurm for SLURM."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import toys

from velodrome.foundation.errors import PlanError, SpecError, UnknownNameError, VelodromeError
from velodrome.results.store.claims import Claims
from velodrome.results.store.store import Store
from velodrome.suites.catalog import load_suite
from velodrome.suites.planning.plan import LoadedSuite, make_plan
from velodrome.suites.running.engines import slurm
from velodrome.suites.running.engines.base import SHARD, Job
from velodrome.suites.running.engines.slurm import SlurmEngine, minutes_of
from velodrome.suites.running.jobs import jobs_left
from velodrome.suites.running.run import run
from velodrome.suites.running.store_setup import open_store


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "-5", "1:00 h"])
def test_a_time_that_is_none_is_refused(text):
    with pytest.raises(SpecError, match="2:00:00"):
        minutes_of(text)


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch):
    with pytest.raises(UnknownNameError, match="slurm"):
        run("smoke", tmp_path, engine="slrum")
    with pytest.raises(PlanError, match="--engine"):
        run("smoke", tmp_path, partition="gpu")
    for gpus in (0.5, -1):
        with pytest.raises(PlanError, match="whole"):
            run("smoke", tmp_path, engine="slurm", gpus=gpus)
    monkeypatch.setitem(sys.modules, "submitit", None)  # as if it were not installed
    with pytest.raises(VelodromeError, match=r"velodrome\[slurm\]"):
        run("smoke", tmp_path, engine="slurm")
    assert list(tmp_path.iterdir()) == []  # before anything is planned


def test_the_command_ends_when_all_is_done_though_workers_wait_for_a_place(
    tmp_path: Path, monkeypatch
):
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite("counting", seeds=1)
        run(suite, tmp_path, workers=0, timing=False, progress="silent")
    store = Store.open(tmp_path)
    jobs = [Job(SHARD, shard.id, shard.cell, 0, 1.0) for shard in store.plan.shards]
    pending = SimpleNamespace(job_id="7_0", done=lambda: False)
    executor = SimpleNamespace(batch=contextlib.nullcontext, submit=lambda worker: pending)
    monkeypatch.setattr(slurm, "_import_submitit", lambda: None)
    monkeypatch.setattr(slurm, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(SlurmEngine, "_executor", lambda self, folder, jobs: executor)
    display = toys.Recorder()
    display.begin(store.plan, jobs)
    SlurmEngine(suite, workers=2).run(store, jobs, display)
    assert display.fraction == 1.0


@pytest.mark.long
def test_preempted_workers_are_queued_again_and_change_no_bit(tmp_path: Path, monkeypatch):
    pytest.importorskip("submitit", reason="needs submitit: pip install submitit")
    monkeypatch.setattr(slurm, "_LOOK_SECONDS", 0.5)
    suite = load_suite("smoke").override(steps=200, seeds=1, learning_rates=[1e-3])
    run(
        suite,
        tmp_path / "inline",
        baseline="exhaustive",  # one stage, as below
        workers=0,
        timing=False,
        progress="silent",
    )
    out, loaded = tmp_path / "slurm", LoadedSuite.of(suite)
    store, _ = open_store(loaded, out, make_plan(loaded))
    jobs, _ = jobs_left(store, suite, {}, timing=False)

    def preempt() -> None:
        claims = Claims(out, read_only=True)
        while not (held := claims.held()):
            time.sleep(0.05)
        # Of the worker process, the array's task that started it, as SLURM would.
        task = psutil.Process(held[0].pid).parent()
        assert task is not None
        task.send_signal(signal.SIGUSR2)

    engine = SlurmEngine(suite, workers=2, cluster="local")
    display = toys.Recorder()
    display.begin(store.plan, jobs)
    watcher = threading.Thread(target=preempt)
    watcher.start()
    engine.run(store, jobs, display)
    watcher.join()
    assert toys.contents(out) == toys.contents(tmp_path / "inline")
    assert all(cell.done == cell.lanes for cell in display.cells.values())
    logs = [path.read_text() for path in (out / "slurm" / "logs").glob("*.out")]
    assert sum("Requeued job" in log for log in logs) == 1
    assert not Store.open(out).problems
