from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import toys

import velodrome
from velodrome.foundation.errors import (
    DataError,
    PlanError,
    SpecError,
    StoreError,
    UnknownNameError,
    WriteError,
)
from velodrome.foundation.files import exclusive_directory
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.results.report.data import collect
from velodrome.results.store.store import Store
from velodrome.suites.running.displays import LiveProgress, PlainProgress, choose_progress
from velodrome.suites.running.run import run
from velodrome.suites.training.environment import command_line
from velodrome.suites.training.shard import ShardRunner


def go(out, *, suite=None, **options):
    display = toys.Recorder()
    options = {"workers": 0, "timing": False, "progress": display, **options}
    with toys.registered(counting=toys.counting()):
        result = run(suite or toys.bowl_suite("counting"), out, **options)
    return result, display


def test_provenance_of_a_shard(tmp_path):
    go(tmp_path)
    store = Store.open(tmp_path)
    metadata = store.shards()[0].metadata
    assert metadata["data"]["name"] == "digits"
    assert metadata["data"]["provenance"] == "built-in"
    assert set(metadata["data"]["splits"]) == {"train", "heldout"}
    assert metadata["versions"]["jax"]
    assert metadata["device"]["platform"] == "cpu"
    assert metadata["protocol"]["steps"] == 20
    assert (metadata["start"], metadata["stop"], metadata["mode"]) == (0, 20, "sequential")
    assert metadata["started"].startswith("20")
    assert metadata["seconds"] > 0


def test_a_store_of_the_baseline_alone_has_a_report(tmp_path):
    go(tmp_path)
    assert velodrome.report(tmp_path).data.summary.empty


def test_reports_compare_heldout_losses_after_as_many_steps_only(tmp_path):
    with toys.registered(other=toys.counting(name="other")):
        # Evaluated on the held-out split at 0, 10 and 20; the candidate's last step is 15.
        go(tmp_path, suite=toys.bowl_suite("counting", "other", steps=15, baseline_multiple=2))
    (row,) = collect(Store.open(tmp_path)).summary.to_dict("records")
    assert row["candidate_heldout"] == row["candidate_heldout"]
    assert row["baseline_heldout"] != row["baseline_heldout"]


def test_a_candidate_without_its_baseline_is_incomplete(tmp_path):
    with toys.registered(other=toys.counting()):
        go(tmp_path, suite=toys.bowl_suite("counting", baseline="adam"))
    (row,) = collect(Store.open(tmp_path)).summary.to_dict("records")
    assert row["status"] == "incomplete" and "no baseline" in row["notes"]


def test_a_second_run_finds_everything_done(tmp_path):
    first, _ = go(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    second, display = go(tmp_path)
    assert (first.done, first.already) == (2, 0)
    assert (second.done, second.already) == (0, 2)
    assert display.jobs == []
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}


def test_a_truncated_shard_is_reported_and_replaced(tmp_path):
    go(tmp_path)
    expected = toys.contents(tmp_path)
    path = next(iter((tmp_path / "shards").glob("*.parquet")))
    path.write_bytes(path.read_bytes()[:100])
    (tmp_path / "shards" / "notes.txt").write_text("hello")
    result, display = go(tmp_path)
    assert result.done == 1
    assert any("truncated" in line for line in display.told)
    assert any("notes.txt" in line for line in display.told)
    assert toys.contents(tmp_path) == expected


def test_changed_weights_never_mix(tmp_path):
    go(tmp_path)
    changed = toys.counting(identity={"weights": "other"})
    with toys.registered(counting=changed), pytest.raises(StoreError, match="Counting"):
        run(toys.bowl_suite("counting"), tmp_path, workers=0, progress="silent")


def test_a_stored_plan_is_used_again(tmp_path, monkeypatch):
    from velodrome.results.store.plan import Batching
    from velodrome.suites.planning import plan as planning

    go(tmp_path)
    plan = Store.open(tmp_path).plan
    next((tmp_path / "shards").glob("*.parquet")).unlink()
    monkeypatch.setattr(planning, "choose", lambda cost, **kwargs: Batching("vmap", 2, 1))
    result, _ = go(tmp_path)
    assert result.done == 1
    assert Store.open(tmp_path).plan == plan


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(UnknownNameError, match="suite"):
        run("demoo", tmp_path)
    with pytest.raises(SpecError, match="steps"):
        go(tmp_path, steps=7)
    with pytest.raises(PlanError, match="workers"):
        go(tmp_path, workers=-1)
    with pytest.raises(UnknownNameError, match="counting"):
        go(tmp_path, optimizers=["countin"])
    with pytest.raises(UnknownNameError, match="progress"):
        go(tmp_path, progress="loud")


@pytest.fixture
def fail_once(monkeypatch):
    """Make the first shard that is run raise something; return the list of its id."""

    def install(error: Exception) -> list[str]:
        original = ShardRunner.run_shard
        failed: list[str] = []

        def sometimes(self, shard_id, control):
            if not failed:
                failed.append(shard_id)
                raise error
            return original(self, shard_id, control)

        monkeypatch.setattr(ShardRunner, "run_shard", sometimes)
        return failed

    return install


def test_a_missing_file_of_one_shard_does_not_stop_the_others(tmp_path, fail_once):
    error = DataError("no such data")
    error.__cause__ = FileNotFoundError("gone")
    failed = fail_once(error)
    result, _ = go(tmp_path)
    assert result.done == 1
    assert Store.open(tmp_path).failures[failed[0]]["message"] == "no such data"


def test_a_failing_shard_is_recorded_and_the_others_go_on(tmp_path, fail_once):
    failed = fail_once(RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 byte"))
    result, display = go(tmp_path)
    assert result.done == 1
    record = Store.open(tmp_path).failures[failed[0]]
    assert record["kind"] == "oom"
    assert "fewer workers" in record["message"]
    assert display.failures[0][0] == "oom"
    again, _ = go(tmp_path)
    assert again.done == 1
    assert Store.open(tmp_path).failures == {}


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot write"):
        go(tmp_path / "file" / "out")


def test_a_full_disk_stops_the_run_with_nothing_half_written(tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(WriteError, match="No space left on device.*run the command again"):
        go(tmp_path)
    assert list((tmp_path / "shards").iterdir()) == []


@pytest.fixture
def _heeds_sigint():
    """Pytest in the background of a script ignores Ctrl-C from the start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_heeds_sigint")
def test_ctrl_c_in_this_process_leaves_a_resumable_store(tmp_path):
    suite_options = {"steps": 200_000, "seeds": 1}

    def interrupt() -> None:
        while not list((tmp_path / "out").glob("questions/*.json")):
            time.sleep(0.01)
        time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with toys.registered(counting=toys.counting()):
        display = toys.Recorder()
        suite = toys.bowl_suite("counting", eval_every=50, heldout_every=50, **suite_options)
        with pytest.raises(KeyboardInterrupt):
            run(suite, tmp_path / "out", workers=0, timing=False, progress=display)
        thread.join()
        assert any("run the same command again" in line for line in display.told)
        (saved,) = (tmp_path / "out" / "checkpoints").glob("*.npz")
        from velodrome.suites.training import checkpoint

        meta = checkpoint.load_meta(saved)
        assert meta is not None
        assert 0 < meta["position"]["step"] < 200_000
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_killed_processes_left_is_removed(tmp_path):
    go(tmp_path)
    (name, *_) = toys.contents(tmp_path)
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    finished = tmp_path / "checkpoints" / f"{name}.npz"
    old, young = (tmp_path / "shards" / f".x.{age}.tmp.parquet" for age in ("old", "young"))
    for path in (finished, old, young):
        path.write_text("")
    os.utime(old, (0, 0))
    go(tmp_path)
    assert not finished.exists()
    assert not old.exists()
    assert young.exists()


def test_other_compiler_flags_are_said(tmp_path):
    go(tmp_path)
    store = Store.open(tmp_path)
    flags = "XLA_FLAGS=--xla_cpu_enable_fast_math=true"
    store.take_manifest({**store.manifest, "device": {**store.manifest["device"], "flags": flags}})
    _, display = go(tmp_path)
    (told,) = [line for line in display.told if "other compiler flags" in line]
    assert "fast_math=true; now" in told


def test_planning_waits_for_another_run_that_plans(tmp_path, monkeypatch):
    monkeypatch.setattr("velodrome.suites.running.run._PATIENCE", 0.1)
    with exclusive_directory(tmp_path), pytest.raises(StoreError, match="another run is at work"):
        go(tmp_path)
    go(tmp_path)


def test_parts_of_the_work_add_up_to_all_of_it(tmp_path):
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite("counting", seeds=6)
    results = [go(tmp_path, suite=suite, shard=f"{part}/3")[0] for part in (1, 2, 3)]
    assert sum(result.done for result in results) == 6
    assert [result.missing for result in results] == [0, 0, 0]
    assert max(result.done for result in results) < 6
    for wrong in ("0/3", "4/3", "3", "a/b"):
        with pytest.raises(SpecError, match="2/8"):
            go(tmp_path, suite=suite, shard=wrong)


def test_an_optimizer_that_cannot_be_timed_is_recorded_and_the_others_are_timed(tmp_path):
    def broken():
        raise DataError("no such weights")

    wrong = OptimizerSpec(name="wrong", label="Wrong", factory=broken)
    with toys.registered(counting=toys.counting(), wrong=wrong):
        suite = toys.bowl_suite("counting", "wrong")
        result = run(suite, tmp_path, workers=0, progress="silent")
    assert result.failed is not None
    assert len(result.failed) == 2
    store = Store.open(tmp_path)
    names = {cell.id: cell.name for cell in store.cells()}
    assert [names[cell] for cell in store.timings] == ["counting"]
    failures = {names[cell]: record for cell, record in store.timing_failures.items()}
    assert failures["wrong"]["message"] == "no such weights"


def test_displays_show_a_run(tmp_path, capsys):
    from rich.console import Console

    go(tmp_path / "plain", progress=PlainProgress())
    assert "Counting: 2 of 2 runs, best loss 20" in capsys.readouterr().err
    console = Console(record=True, force_terminal=True, width=100)
    go(tmp_path / "live", progress=LiveProgress(console))
    shown = console.export_text()
    assert "Counting" in shown
    assert "2/2" in shown
    assert isinstance(choose_progress("auto"), PlainProgress)


@pytest.mark.parametrize(
    ("program", "told"),
    [("/opt/bin/velodrome", "velodrome"), ("/lib/velodrome/__main__.py", "python -m velodrome")],
)
def test_the_command_that_is_recorded_can_be_given_again(monkeypatch, program, told):
    monkeypatch.setattr("sys.argv", [program, "run", "demo", "--out", "a folder"])
    assert command_line() == f"{told} run demo --out 'a folder'"
