"""Trackers get every run once, with its curve, and none of them can harm a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import toys

import velodrome
from velodrome.foundation.errors import StoreError, UnknownNameError, VelodromeError
from velodrome.results.store.shard import ShardRecord
from velodrome.results.store.store import Store
from velodrome.suites.running.trackers.base import TrackedRun, make_trackers


@pytest.fixture(autouse=True)
def _bowls() -> Iterator[None]:
    with toys.registered():
        yield


class Notebook:
    """Writes down what it is told."""

    def __init__(self, *, fails: bool = False):
        self.settings: Mapping[str, object] = {}
        self.curves: dict[str, tuple[TrackedRun, pd.DataFrame]] = {}
        self.ended = 0
        self.fails = fails

    def on_start(self, settings: Mapping[str, object]) -> None:
        self.settings = settings

    def on_curve(self, run: TrackedRun, curve: pd.DataFrame) -> None:
        if self.fails:
            raise ConnectionError("nobody answers")
        assert run.id not in self.curves
        self.curves[run.id] = run, curve

    def on_end(self) -> None:
        self.ended += 1


def test_every_run_comes_once_with_its_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    book, broken = Notebook(), Notebook(fails=True)
    suite = toys.bowl_suite("sgd", "adam")
    result = velodrome.run(
        suite, tmp_path, workers=0, timing=False, progress="plain", trackers=[broken, book]
    )
    assert (result.done, result.missing, book.ended) == (result.done, 0, 1)
    said = capsys.readouterr().err
    assert said.count("Notebook failed, and is left out") == 1 and "nobody answers" in said
    assert book.settings["suite"] == suite.name and book.settings["store"] == str(tmp_path)

    store = Store.open(tmp_path)
    expected = {
        (cell.id, lane.point, lane.seed): values
        for cell in store.cells()
        for lane, values in zip(cell.curves().lanes, cell.curves().values, strict=True)
    }
    found = {
        (run.cell, json.dumps(dict(run.hyperparameters), separators=(",", ":")), run.seed): curve
        for run, curve in book.curves.values()
    }
    assert found.keys() == expected.keys()
    for key, curve in found.items():
        np.testing.assert_array_equal(curve["train loss"].to_numpy(), expected[key])

    again = Notebook()
    velodrome.run(suite, tmp_path, workers=0, timing=False, progress="silent", trackers=[again])
    assert not again.curves and again.ended == 1  # nothing was trained


@pytest.mark.parametrize("damaged", [False, True])
def test_a_run_without_a_curve_harms_no_tracker(tmp_path: Path, monkeypatch, damaged: bool):
    original = ShardRecord.table

    def table(self: ShardRecord) -> pa.Table:
        if damaged:
            raise StoreError("the file is damaged")
        found = original(self)
        return found.filter(pa.array(found["lane"].to_numpy() != self.lanes[0].lane))

    monkeypatch.setattr(ShardRecord, "table", table)
    book, suite = Notebook(), toys.bowl_suite("sgd", seeds=3)
    result = velodrome.run(
        suite, tmp_path, workers=0, timing=False, progress="silent", trackers=[book]
    )
    assert (result.missing, book.ended) == (0, 1)
    shards = Store.open(tmp_path).shards()
    runs = 0 if damaged else sum(len(shard.lanes) - 1 for shard in shards)
    assert len(book.curves) == runs and all(len(curve) for _, curve in book.curves.values())


def test_names_of_trackers(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(
        "class Mine:\n"
        "    def on_start(self, settings): pass\n"
        "    def on_curve(self, run, curve): pass\n"
        "    def on_end(self): pass\n"
        "tracker = Mine()\n"
        "def make(text): return Mine()\n"
        "def wrong(text): return 3\n"
    )
    made = make_trackers([f"{file}:tracker", f"{file}:make"])
    assert [type(one).__name__ for one in made] == ["Mine", "Mine"]
    with pytest.raises(VelodromeError, match="made int, which has not on_start"):
        make_trackers([f"{file}:wrong"])
    with pytest.raises(UnknownNameError, match="wandb"):
        make_trackers(["wand"])


def test_event_files_have_the_curves(tmp_path: Path):
    record_reader = pytest.importorskip("tensorboardX.proto.event_pb2")
    suite = toys.bowl_suite("sgd")
    velodrome.run(
        suite, tmp_path / "s", workers=0, timing=False, progress="silent",
        trackers=["tensorboard"],
    )  # fmt: skip
    files = list((tmp_path / "s" / "tensorboard").rglob("events.*"))
    store = Store.open(tmp_path / "s")
    assert len(files) == sum(len(cell.lanes) for cell in store.cells()) > 0
    assert record_reader.Event is not None and all(path.stat().st_size > 200 for path in files)


def test_weights_and_biases_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    suite = toys.bowl_suite("sgd", seeds=1, learning_rates=(0.1, 0.2))
    velodrome.run(
        suite, tmp_path / "s", workers=0, timing=False, progress="plain",
        trackers=["wandb:bowls"],
    )  # fmt: skip
    store = Store.open(tmp_path / "s")
    runs = sum(len(cell.lanes) for cell in store.cells())
    assert len(list(tmp_path.glob("wandb/offline-run-*/*.wandb"))) == runs > 0


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    suite = toys.bowl_suite("sgd", seeds=1, learning_rates=(0.1, 0.2))
    velodrome.run(
        suite, tmp_path / "s", workers=0, timing=False, progress="silent",
        trackers=["mlflow:bowls"],
    )  # fmt: skip
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("bowls")
    runs = client.search_runs([experiment.experiment_id])
    store = Store.open(tmp_path / "s")
    for cell in store.cells():
        curves = cell.curves()
        assert len(runs) == len(curves.lanes) > 0
        for run in runs:
            history = client.get_metric_history(run.info.run_id, "train loss")
            point = float(run.data.params["learning_rate"])
            row = [lane.hyperparameters["learning_rate"] for lane in curves.lanes].index(point)
            np.testing.assert_allclose([one.value for one in history], curves.values[row])


def test_a_run_in_mlflow_that_was_killed_before_its_parameters_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    run = TrackedRun("s", "t", "mlp", "real", "Adam", 0, 10, "c", {"learning_rate": 0.1})
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("bowls")
    client.create_run(experiment, tags={"velodrome.run": run.id})
    (tracker,) = make_trackers(["mlflow:bowls"])
    tracker.on_start({"protocol.steps": 10})
    for _ in range(2):
        tracker.on_curve(run, pd.DataFrame({"train loss": [1.0]}, index=[0]))
    (found,) = client.search_runs([experiment])
    expected = {name: str(value) for name, value in run.facts.items()}
    assert found.data.params == {"protocol.steps": "10", **expected}
