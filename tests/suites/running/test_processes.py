"""Worker processes: the same bits as in this process, deaths recorded, Ctrl-C harmless."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import toys

from velodrome.foundation.errors import PlanError
from velodrome.results.store.store import Store
from velodrome.suites.catalog import load_suite
from velodrome.suites.running.engines.base import Job
from velodrome.suites.running.run import run

ROOT = Path(__file__).parents[3]

# They kill their process when a step runs, not when it is traced: every process traces them once.
DEADLY = """
import os, signal
from pathlib import Path
import jax, optax
from velodrome.foundation.errors import DataError

MARK = Path(__file__).parents[1] / "once"

def _sgd(learning_rate, kill):
    def update(updates, state, params=None):
        jax.debug.callback(kill)
        return updates, state
    return optax.chain(
        optax.GradientTransformation(lambda params: optax.EmptyState(), update),
        optax.sgd(learning_rate),
    )

def _kill():
    os.kill(os.getpid(), signal.SIGKILL)

def _kill_once():
    if not MARK.exists():
        MARK.write_text("")
        _kill()

def once(learning_rate=1.0):
    return _sgd(learning_rate, _kill_once)

def always(learning_rate=1.0):
    return _sgd(learning_rate, _kill)

def wrong(learning_rate=1.0):
    # A file that is missing is no reason to stop all others, as a full disk is.
    raise DataError("this optimizer is broken") from FileNotFoundError("gone")
"""


class Watcher(toys.Recorder):
    """Remembers what was done in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.finished: list[Job] = []

    def job_finished(self, job: Job) -> None:
        super().job_finished(job)
        self.finished.append(job)


def test_engines_and_numbers_of_workers_give_the_same_bits(tmp_path):
    run("smoke", tmp_path / "inline", workers=0, progress="silent", timing=False)
    display = Watcher()
    result = run("smoke", tmp_path / "processes", workers=2, progress=display)
    assert result.failed == {}
    assert toys.contents(tmp_path / "inline") == toys.contents(tmp_path / "processes")
    store = Store.open(tmp_path / "processes")
    assert store.shards()[0].metadata["device"]["threads"] == 1
    kinds = [job.kind for job in display.finished]
    assert kinds == sorted(kinds)  # timings after all shards
    cells = {cell.id for cell in store.cells()}
    assert set(store.timings) == cells
    for record in store.timings.values():
        assert record["threads"] == 1
        for name in ("seconds_per_step", "baseline_seconds_per_step"):
            assert len(record[name]["samples"]) >= 7
            assert record[name]["median"] > 0
            assert record[name]["spread"] >= 0
        ratio = record["seconds_per_step"]["median"] / record["baseline_seconds_per_step"]["median"]
        assert record["ratio"] == pytest.approx(ratio)
        assert record["compile_seconds"] > 0
        assert record["eval_seconds"] > 0
        assert record["memory_bytes"] > 0


@pytest.mark.long
def test_a_killed_worker_is_recorded_and_the_others_go_on(tmp_path):
    (tmp_path / "deadly.py").write_text(textwrap.dedent(DEADLY))
    names = [f"{tmp_path / 'deadly.py'}:{name}" for name in ("once", "always", "wrong")]
    display = Watcher()
    smoke = load_suite("smoke")
    result = run(
        dataclasses.replace(smoke, tasks=smoke.tasks[:1]),
        tmp_path / "out",
        optimizers=["sgd", *names],
        seeds=1,
        learning_rates=[0.01],
        workers=2,
        timing=False,
        progress=display,
    )
    store = Store.open(tmp_path / "out")
    statuses: dict[str, list[tuple[int, str]]] = {}
    for cell in store.cells():
        records = list(cell.failures)
        statuses.setdefault(cell.name.rpartition(":")[2], []).append(
            (len(cell.shards), records[0]["kind"] if records else "")
        )
    assert statuses["sgd"] == [(1, "")]
    assert statuses["once"] == [(1, "")]
    assert statuses["always"] == [(0, "killed")]
    assert statuses["wrong"] == [(0, "error")]
    assert result.failed is not None
    assert len(result.failed) == 2
    kinds = [(kind, again) for kind, _, again in display.failures]
    assert kinds.count(("killed", True)) == 2  # once, and the first time of always
    assert kinds.count(("killed", False)) == 1
    messages = [message for kind, message, _ in display.failures if kind == "error"]
    assert all("this optimizer is broken" in message for message in messages)
    assert any("signal 9" in message for _, message, _ in display.failures)


@pytest.mark.long
def test_ctrl_c_stops_the_workers_and_the_same_command_goes_on(tmp_path):
    script = tmp_path / "go.py"
    script.write_text(
        "import signal, sys\n"
        # Children of a script's background job ignore Ctrl-C from the start.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from velodrome.suites.running.run import run\n"
        "run('smoke', sys.argv[1], steps=int(sys.argv[2]), workers=2, timing=False,"
        " progress='plain')\n"
    )

    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "out"), "100000"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _interrupt(process, tmp_path)
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)  # the workers are gone too
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _interrupt(process: subprocess.Popen[str], tmp_path: Path) -> None:
    deadline = time.monotonic() + 120
    assert process.stderr is not None
    for line in process.stderr:  # the first line comes when a worker has trained a while
        assert "best loss" in line
        break
    assert Store.exists(tmp_path / "out")
    assert time.monotonic() < deadline
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    told = process.stderr.read()
    assert process.wait(60) != 0
    assert "run the same command again" in told
    assert list((tmp_path / "out" / "checkpoints").glob("*.npz"))
    assert not (tmp_path / "out" / "failures").exists()
    process.stderr.close()


def test_what_only_this_process_knows_runs_here_unless_told_otherwise(tmp_path):
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite("counting")
        with pytest.raises(PlanError, match="workers=0"):
            run(suite, tmp_path, workers=1, timing=False, progress="silent")


def test_workers_that_end_without_a_job_are_not_started_for_ever(tmp_path, monkeypatch):
    program = "print('{\"event\": \"ready\"}', flush=True); raise SystemExit('cannot go on')"
    monkeypatch.setattr("velodrome.suites.running.engines.child._PROGRAM", program)
    with pytest.raises(PlanError, match="cannot go on"):
        run("smoke", tmp_path, workers=1, timing=False, progress="silent")


@pytest.mark.long
def test_workers_may_share_an_accelerator(tmp_path, monkeypatch):
    choice = "velodrome.suites.running.engines.choice.EngineChoice"
    monkeypatch.setattr(f"{choice}.backend", "gpu")  # all but the kernels
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "")  # put back afterwards
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE")
    result = run("smoke", tmp_path, workers=2, progress="silent", timing=False)
    assert not result.failed and result.done == len(Store.open(tmp_path).plan.shards)
    assert Store.open(tmp_path).plan.backend == "gpu"
    # Each worker has one thread; this process has another number.
    assert {shard.metadata["device"]["threads"] for shard in Store.open(tmp_path).shards()} == {1}
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
