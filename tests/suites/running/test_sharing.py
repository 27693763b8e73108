"""Several runs share the work in one store."""

from __future__ import annotations

import dataclasses
import os
import threading
from pathlib import Path

import pytest
import toys

from velodrome.results.store.claims import Claims
from velodrome.results.store.store import Store
from velodrome.suites.running.engines.base import SHARD, Job
from velodrome.suites.running.engines.outcomes import record
from velodrome.suites.running.engines.pull import Worker
from velodrome.suites.running.engines.watch import Watch
from velodrome.suites.running.jobs import jobs_left, tidy
from velodrome.suites.running.run import RunResult, run
from velodrome.suites.training.shard import ShardRunner

SEEDS = 6


def test_two_runs_share_the_shards_and_both_see_all_of_them(tmp_path: Path, monkeypatch):
    original, trained = ShardRunner.run_shard, []
    both_at_work = threading.Barrier(2)

    def noted(self, shard_id, control):
        trained.append(shard_id)
        if len(trained) <= 2:
            both_at_work.wait(60)
        return original(self, shard_id, control)

    monkeypatch.setattr(ShardRunner, "run_shard", noted)
    results: list[RunResult] = []
    displays = [toys.Recorder(), toys.Recorder()]
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite("counting", seeds=SEEDS)

        def go(display: toys.Recorder) -> None:
            results.append(run(suite, tmp_path, workers=0, timing=False, progress=display))

        threads = [threading.Thread(target=go, args=(display,)) for display in displays]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [(result.done, result.missing) for result in results] == [(SEEDS, 0)] * 2
    assert sorted(trained) == sorted(shard.id for shard in Store.open(tmp_path).plan.shards)
    for display in displays:
        (cell,) = display.cells.values()
        assert (cell.done, cell.active, cell.failed) == (SEEDS, 0, 0)
        assert display.fraction == 1.0
    assert list((tmp_path / "claims").iterdir()) == []


def test_what_others_have_done_is_claimed_by_nobody(tmp_path: Path, monkeypatch):
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite("counting", seeds=SEEDS)
        run(suite, tmp_path, workers=0, timing=False, progress="silent")
    store = Store.open(tmp_path)
    jobs = [Job(SHARD, shard.id, shard.cell, 0, 1.0) for shard in store.plan.shards]
    monkeypatch.delattr(Claims, "take")

    def do(job: Job, control: object) -> None:
        raise AssertionError(job)

    claims, stop = Claims(tmp_path), threading.Event()
    watch = Watch(store, jobs, toys.Recorder(), claims, 0.0)
    Worker(store, do, jobs, watch, claims, since=claims.now()).run(stop)


def test_old_temporary_files_are_removed_and_young_ones_may_vanish(tmp_path: Path):
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite("counting", seeds=1)
        run(suite, tmp_path, workers=0, timing=False, progress="silent")
    names = ("checkpoints/.a.x.tmp.npz", "claims/.new-a", "shards/.a.x.tmp.parquet")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (0, 0))
    young = tmp_path / "claims" / ".new-b"
    young.write_text("")
    (tmp_path / "shards" / ".b.x.tmp.parquet").symlink_to(tmp_path / "just-renamed")
    tidy(Store.open(tmp_path))
    assert young.exists() and not any((tmp_path / name).exists() for name in names)


def test_claims_of_done_jobs_whose_workers_died_are_removed(tmp_path: Path):
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite("counting", seeds=2)
        run(suite, tmp_path, workers=0, timing=False, progress="silent")
    store, claims = Store.open(tmp_path), Claims(tmp_path)
    done, left = (shard.id for shard in store.plan.shards)
    (tmp_path / "shards" / f"{left}.parquet").unlink()
    for name in (done, left):
        lease = claims.lease(kind="shard", id=name, cell="", task=0)
        assert claims.take(lease, since=0.0) is not None
        os.utime(claims.folder / lease.name, (0, 0))
    alive = claims.take(claims.lease(kind="timing", id="x", cell="", task=0), since=0.0)
    assert alive is not None
    tidy(store)
    # That of the job that is left says how often it has been tried.
    names = {path.name for path in claims.folder.iterdir() if not path.name.startswith(".")}
    assert names == {f"shard-{left}", "timing-x"}


@pytest.mark.parametrize("end", ["done", "failed", "stopped"])
def test_a_display_shows_what_another_run_does(tmp_path: Path, end):
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite("counting", seeds=1)
        run(suite, tmp_path, workers=0, timing=False, progress="silent")
    store = Store.open(tmp_path)
    (path,) = (tmp_path / "shards").iterdir()
    kept = path.read_bytes()
    path.unlink()
    jobs, _ = jobs_left(store, suite, {}, timing=False)
    display = toys.Recorder()
    display.begin(store.plan, jobs)
    claims, other = Claims(tmp_path), Claims(tmp_path)
    watch = Watch(store, jobs, display, claims, claims.now())
    (job,), (cell,) = jobs, display.cells.values()
    lease = other.lease(kind=job.kind, id=job.id, cell=job.cell, task=job.task)
    claim = other.take(dataclasses.replace(lease, fraction=0.5, losses={"0": 2.0}), since=0.0)
    assert claim is not None
    assert watch.look()
    assert (cell.active, cell.done, cell.best) == (1, 0.5, 2.0)
    if end == "done":
        path.write_bytes(kept)
    elif end == "failed":
        record(store, job, "oom", "too large")
    with claim:
        pass
    assert watch.look() == (end == "stopped")
    watch.close()
    expected = {"done": (0, 1.0, 0), "failed": (0, 0.0, 1), "stopped": (0, 0.0, 0)}[end]
    assert (cell.active, cell.done, cell.failed) == expected
    kinds = {"done": [], "failed": [("oom", False)], "stopped": [("stopped", True)]}[end]
    assert [(kind, again) for kind, _, again in display.failures] == kinds
