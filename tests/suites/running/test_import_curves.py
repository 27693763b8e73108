"""Imported curves stand in a store beside trained ones, are marked, and have no seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import velodrome
from velodrome import cli
from velodrome.foundation.errors import SpecError, StoreError, UnknownNameError
from velodrome.results.report.data import ReportData, collect
from velodrome.results.report.standings import standings_table
from velodrome.results.report.text import markdown
from velodrome.results.store.store import Store
from velodrome.suites.catalog import load_suite
from velodrome.suites.planning.plan import make_plan
from velodrome.suites.running.import_curves import import_curves

TASK, OTHER = "tiny-mlp", "tiny-gru"


def write(path: Path, *, tau: float = 5.0, seeds: Sequence[int] = (0, 1), heldout: bool = True):
    lines = ["step,loss,heldout_loss,seed"]
    for seed in seeds:
        for step in range(21):
            loss = 2.3 * np.exp(-step / tau) + 0.01 * seed
            lines.append(f"{step},{loss:.9g},{loss if heldout and step % 10 == 0 else ''},{seed}")
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which Adam's curves are formulas: nothing is trained."""
    suite = dataclasses.replace(load_suite("smoke"), optimizers=("adam",))
    plan, place = make_plan(suite), tmp_path_factory.mktemp("baseline") / "store"
    protocol = suite.protocol.to_json()
    store = Store.create(
        place,
        manifest={
            "suite": {"name": suite.name, "hash": suite.hash},
            "protocol": protocol,
            "protocol_hash": suite.protocol.hash,
        },
        plan=plan,
        suite=suite.to_json(),
    )
    for shard in plan.shards:
        cell = plan.cell(shard.cell)
        due = [(s, split) for split in ("train", "heldout")
               for s in suite.protocol.evaluations(cell.horizon, split)]  # fmt: skip
        rows = [(lane.lane, *at, 2.3 * np.exp(-at[0] / 20)) for lane in shard.lanes for at in due]
        names = ("lane", "step", "split", "value")
        columns = {n: np.array([row[i] for row in rows]) for i, n in enumerate(names)}
        columns["metric"] = np.full(len(rows), "loss")
        about = {n: cell.to_json()[n] for n in ("id", "task", "optimizer", "horizon")}
        lanes = [vars(lane) for lane in shard.lanes]
        store.write_shard(
            shard.id, columns, {"cell": about, "lanes": lanes, "data": vars(cell.data)}
        )
    return place


@pytest.fixture(scope="module")
def imported(baseline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("imported")
    curves = write(out / "torch.csv")
    import_curves(
        curves, task=TASK, optimizer="torch", out=out / "store", suite="smoke", field=baseline,
        hyperparameters={"learning_rate": 0.1}, made_by="PyTorch 2.9",
    )  # fmt: skip
    return out / "store"


@pytest.fixture(scope="module")
def data(imported: Path) -> ReportData:
    return collect(Store.open(imported, read_only=True))


def test_a_speedup_in_steps_and_none_in_seconds(data: ReportData):
    row, missing = data.summary.to_dict("records")
    assert (row["task"], row["optimizer"], row["status"]) == (TASK, "imported:torch", "censored")
    assert row["speedup_steps_default"] == 2.0  # the baseline's budget: its curve falls slower
    assert np.isnan(row["speedup_seconds_default"])
    assert "no seconds: its curves are imported" in row["notes"]
    assert (missing["task"], missing["status"]) == (OTHER, "missing")
    assert [row[1] for row in standings_table(data).rows] == ["LR-tuned Adam", "torch (imported)"]


def test_seeds_of_another_program_are_not_paired(data: ReportData):
    assert data.summary["seeds"].iloc[0] == 2  # as many as the baseline has, with equal numbers
    assert not data.summary["paired"].iloc[0]


def test_every_text_says_that_it_is_imported(data: ReportData):
    text = markdown(data)
    assert data.context.labels == ("torch (imported)",)
    assert "Made elsewhere, in steps only: torch (imported)." in data.context.line
    assert "the person who imported them says" in text
    (file,) = data.provenance.loc[
        data.provenance["what"] == f"imported torch (imported) on {TASK}", "value"
    ]
    assert file.startswith("torch.csv, SHA-256 ") and file.endswith("made by PyTorch 2.9")
    for name, table in data.saved_tables():
        if "label" in table:
            mine = table["label"].str.contains("torch", na=False)
            assert table.loc[mine, "label"].str.contains("imported").all(), name


def test_again_is_nothing_new_and_other_losses_are_refused(imported: Path, tmp_path: Path):
    point = {"learning_rate": 0.1}
    again = write(tmp_path / "again.csv")
    given = {"task": TASK, "optimizer": "torch", "out": imported, "hyperparameters": point}
    before = {path: path.read_bytes() for path in imported.rglob("*.parquet")}
    found = import_curves(again, **given)
    assert (found.added, found.already) == (0, 2)
    with pytest.raises(StoreError, match="seed 0 .* already, with other losses"):
        import_curves(write(tmp_path / "other.csv", tau=6), **given)
    assert {path: path.read_bytes() for path in imported.rglob("*.parquet")} == before


def test_more_seeds_and_another_task_come_into_one_question(tmp_path: Path):
    out, curves = tmp_path / "store", write(tmp_path / "a.csv")
    given = {"optimizer": "torch", "out": out}
    digest = load_suite("smoke").tasks[1].spec_hash
    import_curves(curves, task=TASK, suite="smoke", **given)
    import_curves(write(tmp_path / "b.csv", seeds=(1, 2)), task=TASK, **given)
    import_curves(write(tmp_path / "c.csv", heldout=False), task=digest[:8], **given)
    store = Store.open(out, read_only=True)
    first, second = store.cells()
    assert [lane.seed for lane in first.lanes] == [0, 1, 2]
    assert (second.task.label, len(second.lanes)) == (OTHER, 2)
    assert all(store.has_shard(shard.id) for shard in store.plan.shards)
    assert first.optimizer.imported and dict(first.optimizer.identity) == {}


def test_what_it_is_of_must_be_known(imported: Path, tmp_path: Path):
    curves = write(tmp_path / "a.csv")
    given = {"optimizer": "torch", "out": imported}
    with pytest.raises(UnknownNameError, match=f"Did you mean '{TASK}'"):
        import_curves(curves, task="tiny-mpl", **given)
    spec = velodrome.load_suite("demo").tasks[0]
    with pytest.raises(UnknownNameError, match="no task of the suite smoke named .*spec"):
        import_curves(curves, task=spec, **given)
    with pytest.raises(StoreError, match="of the suite smoke, whose tasks are not those of demo"):
        import_curves(curves, task=TASK, suite="demo", **given)
    with pytest.raises(SpecError, match="suite: got None, but it must be named"):
        import_curves(curves, task=TASK, optimizer="torch", out=tmp_path / "new")
    with pytest.raises(SpecError, match="seed: got -1, but it must be a whole number from 0"):
        import_curves(
            curves, task=TASK, suite="smoke", out=tmp_path / "new", optimizer="a", seed=-1
        )
    assert not (tmp_path / "new").exists()


def test_a_suite_that_only_has_the_name_of_the_field_is_refused(baseline: Path, tmp_path: Path):
    suite = load_suite("smoke")
    other = dataclasses.replace(suite, tasks=suite.tasks[1:])
    given = {"task": OTHER, "optimizer": "torch", "field": baseline, "out": tmp_path / "store"}
    with pytest.raises(StoreError, match="whose tasks are not those of smoke as it was given"):
        import_curves(write(tmp_path / "a.csv"), suite=other, **given)
    assert not (tmp_path / "store").exists()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    curves = write(tmp_path / "a.csv")
    curves.write_text(curves.read_text().replace("step,loss", "at,nll"))
    words = ["import", str(curves), "--suite", "smoke", "--task", TASK, "--optimizer", "torch"]
    words += ["--out", str(tmp_path / "store"), "--point", "lr=0.1", "b=2"]
    assert cli.main([*words, "--columns", "step=at", "loss=nll"]) == 0
    assert "2 runs added" in capsys.readouterr().out
    (cell, _) = Store.open(tmp_path / "store", read_only=True).cells()
    assert cell.lanes[0].hyperparameters == {"lr": 0.1, "b": 2}
