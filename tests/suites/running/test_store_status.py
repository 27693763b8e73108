"""The status of a store: what it says, and that it looks again when files change."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import toys

from velodrome.cli import main
from velodrome.foundation.errors import StoreError
from velodrome.results.speedup.pending import asks_for_more, is_over
from velodrome.results.store.claims import Claims
from velodrome.results.store.index import INDEX
from velodrome.results.store.status import StatusReader
from velodrome.results.store.store import Store
from velodrome.suites.running.engines.outcomes import record
from velodrome.suites.running.jobs import jobs_left
from velodrome.suites.running.run import run
from velodrome.suites.training.shard import ShardRunner, Stopped


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of four shards of one run each, of which one is being trained and one has failed."""
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite("counting", seeds=4)
        run(suite, tmp_path / "store", workers=0, progress="silent")
    opened = Store.open(tmp_path / "store")
    for path in sorted((tmp_path / "store" / "shards").iterdir())[2:]:
        path.unlink()
    (running, failed), _ = jobs_left(opened, suite, {}, timing=False)
    record(opened, failed, "error", "ValueError: rates are upside down")
    claims = Claims(opened.directory)
    lease = claims.lease(
        kind=running.kind, id=running.id, cell=running.cell, task=running.task
    )  # fmt: skip
    lease = dataclasses.replace(lease, fraction=0.5, losses={"2": 1.25})
    assert claims.take(lease, since=0.0) is not None
    return opened


def test_a_status_says_what_is_done_what_runs_and_what_failed(store: Store):
    now = StatusReader(store.directory).read()
    assert (now.shards, now.done, now.failed, now.runs, now.runs_done) == (4, 2, 1, 4, 2)
    assert now.fraction == pytest.approx(2.5 / 4)
    assert (now.files, now.damaged, now.timed) == (2, 0, 1)
    assert now.failures == {"ValueError: rates are upside down": 1}
    (cell,), (worker,) = now.cells, now.workers
    assert (cell.runs, cell.done, cell.failed, cell.working) == (4, 2, 1, 1)
    assert cell.best_loss == worker.best_loss == 1.25
    assert cell.interrupted_steps == 0  # what is saved is the worker's
    assert (worker.pid, worker.fraction, worker.optimizer) == (os.getpid(), 0.5, "Counting")
    assert now.seconds_left == pytest.approx(now.seconds / 2 * 1.5)


class StopAtOnce:
    """Stops a shard at its first report."""

    def __init__(self):
        self.fraction = 0.0

    def report(self, *, fraction: float, last_loss: Mapping[int, float]) -> None:
        del last_loss
        self.fraction = fraction

    def should_stop(self) -> bool:
        return True


def test_a_status_counts_what_is_saved_of_interrupted_runs(
    store: Store, capsys: pytest.CaptureFixture[str]
):
    for path in (store.directory / "claims").iterdir():
        path.unlink()
    assert StatusReader(store.directory).read().fraction == pytest.approx(2 / 4)
    left = next(shard for shard in store.plan.shards if not store.has_shard(shard.id))
    control = StopAtOnce()
    with toys.registered(counting=toys.counting()), pytest.raises(Stopped):
        ShardRunner(store, checkpoint_seconds=1000.0).run_shard(left.id, control)
    assert 0 < control.fraction < 1
    reader = StatusReader(store.directory)
    now = reader.read()
    assert now.fraction == pytest.approx((2 + control.fraction) / 4) and not now.workers
    assert reader.read().fraction == now.fraction
    (cell,) = now.cells
    assert cell.interrupted_steps == round(control.fraction * cell.steps) > 0
    capsys.readouterr()
    assert main(["status", str(store.directory)]) == 0
    shown = capsys.readouterr().out
    assert "saved steps" in shown and f" {cell.interrupted_steps} " in shown
    (saved,) = (store.directory / "checkpoints").iterdir()
    saved.write_bytes(saved.read_bytes()[:99])
    assert reader.read().fraction == pytest.approx(2 / 4)


def test_a_failure_may_vanish_while_it_is_looked_at(store: Store):
    (store.directory / "failures" / "gone.json").symlink_to(store.directory / "nowhere")
    assert StatusReader(store.directory).read().failed == 1


def test_steps_of_a_sweep_in_stages_count_as_far_as_they_are_planned(tmp_path: Path):
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite(
            "counting", "sgd", seeds=1, baseline="counting", baseline_multiple=2
        )
        run(suite, tmp_path, baseline="decided", workers=0, timing=False, progress="silent")
    store = Store.open(tmp_path)
    stages = [shard for shard in store.plan.shards if store.plan.cell(shard.cell).horizon == 40]
    assert [(shard.start, shard.stop) for shard in stages] == [(0, 20), (20, 30), (30, 40)]
    assert StatusReader(tmp_path).read().fraction == 1.0
    for shard in stages[1:]:
        (tmp_path / "shards" / f"{shard.id}.parquet").unlink()
    now = StatusReader(tmp_path).read()
    total = sum(len(shard.lanes) * (shard.stop - shard.start) for shard in store.plan.shards)
    assert now.fraction == pytest.approx(1 - 20 / total)


def test_the_index_is_a_cache_and_no_more(store: Store):
    first = dataclasses.replace(StatusReader(store.directory).read(), workers=())
    index = store.directory / INDEX
    kept, written = index.read_bytes(), index.stat().st_mtime_ns
    again = StatusReader(store.directory).read()
    assert dataclasses.replace(again, workers=()) == first
    assert index.stat().st_mtime_ns == written  # nothing had changed
    good = json.loads(kept)
    wrong = [{"schema": 0}, {"plan": {}}, {"plan": 3}, {"files": 3}, {"files": {"x.parquet": 3}}]
    texts = [json.dumps({**good, **part}) for part in wrong]
    for text in ("", "{", "[]", "{}", *texts):
        index.write_text(text)
        assert StatusReader(store.directory).read().done == 2
    index.write_bytes(kept)
    one, two = sorted((store.directory / "shards").iterdir())
    one.unlink()
    two.write_bytes(two.read_bytes()[:-9])
    reader = StatusReader(store.directory)
    now = reader.read()
    assert (now.done, now.damaged, now.runs_done) == (0, 1, 0)
    two.unlink()
    assert reader.read().damaged == 0
    index.unlink()
    index.mkdir()  # it cannot be written: it is done without
    assert StatusReader(store.directory).read().shards == 4


def test_a_status_never_waits_and_changes_nothing_but_the_index(store: Store):
    before = {path: path.stat().st_mtime_ns for path in store.directory.rglob("*")}
    StatusReader(store.directory).read()
    changed = {path for path in store.directory.rglob("*") if path not in before}
    assert changed == {store.directory / INDEX}


def test_the_command_shows_a_status(store: Store, capsys, tmp_path: Path):
    assert main(["status", str(store.directory)]) == 0
    shown = capsys.readouterr().out
    assert "62% of the steps; 2 of 4 shards and 2 of 4 runs done, 1 failed; 1 worker" in shown
    assert f":{os.getpid()}" in shown
    assert "1 shard failed: ValueError: rates are upside down" in shown
    assert main(["status", str(store.directory), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["workers"][0]["best_loss"] == 1.25
    assert main(["status", str(tmp_path)]) == 2
    assert "is not a result store" in capsys.readouterr().err


def test_a_watch_ends_when_everything_has(store: Store, capsys):
    for path in (store.directory / "claims").iterdir():
        path.unlink()
    (failure,) = (store.directory / "failures").iterdir()
    shards = [shard.id for shard in store.plan.shards if not store.has_shard(shard.id)]
    for shard in shards:
        failure.with_stem(shard).write_bytes(failure.read_bytes())
    begun = time.monotonic()
    assert main(["status", str(store.directory), "--watch", "--json"]) == 0
    assert time.monotonic() - begun < 60
    assert json.loads(capsys.readouterr().out)["failed"] == 2


def test_a_status_needs_no_jax(store: Store):
    main(["status", str(store.directory)])
    program = (
        "import sys; from velodrome.cli import main\n"
        f"assert main(['status', {str(store.directory)!r}]) == 0\n"
        "heavy = {'jax', 'flax', 'optax', 'pandas', 'pyarrow'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path):
    with pytest.raises(StoreError, match="is not a result store"):
        StatusReader(tmp_path).read()


def test_between_two_stages_a_run_is_not_over(tmp_path: Path):
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite(
            "counting", "sgd", seeds=1, baseline="counting", baseline_multiple=2
        )
        run(suite, tmp_path, baseline="decided", workers=0, timing=False, progress="silent")
    assert is_over(StatusReader(tmp_path).read(), tmp_path)
    # As it was when the first stage was done, and the next one was not planned yet.
    store = Store.open(tmp_path)
    first = tuple(shard for shard in store.plan.shards if not shard.start)
    for shard in store.plan.shards:
        if shard not in first:
            (tmp_path / "shards" / f"{shard.id}.parquet").unlink()
    store.take_plan(dataclasses.replace(store.plan, shards=first))
    now = StatusReader(tmp_path).read()
    assert now.done == now.shards == len(first) and not now.workers
    assert not is_over(now, tmp_path)
    assert main(["status", str(tmp_path), "--page", str(tmp_path / "live.html")]) == 0
    page = (tmp_path / "live.html").read_text(encoding="utf-8")
    assert "Another stage comes next" in page
    assert "refresh" not in page  # without --watch nobody writes it again
    assert "finished" not in page


def test_a_search_for_rates_is_over_when_it_has_failed(store: Store):
    assert not asks_for_more(store)
    cells = tuple(dataclasses.replace(cell, search="going on") for cell in store.plan.cells)
    store.take_plan(dataclasses.replace(store.plan, cells=cells))
    assert not asks_for_more(store)  # one shard has failed
    (failure,) = (store.directory / "failures").iterdir()
    failure.unlink()
    assert asks_for_more(Store.open(store.directory))
