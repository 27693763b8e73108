"""A race trains one optimizer, and takes the rest of the field from a store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from velodrome.foundation.errors import SpecError, StoreError, UnknownNameError
from velodrome.results.report.figures import contents
from velodrome.results.store.store import Store
from velodrome.suites.running.race import RaceResult, race
from velodrome.suites.running.run import run


@pytest.fixture(autouse=True)
def one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them take most of the time."""
    monkeypatch.setattr(contents, "MODULES", (contents.sorted_speedup,))


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("field")
    run(
        "smoke", out, optimizers=["adam", "sgd"], baseline="exhaustive", workers=0, timing=False,
        progress="silent",
    )  # fmt: skip
    return out


def go(field: Path, out: Path, name: str = "lion", **options: object) -> RaceResult:
    return race(
        name, out, suite="smoke", field=field, workers=0, timing=False, progress="silent",
        **options,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip


def test_only_its_own_runs_are_trained(field: Path, tmp_path: Path):
    found = go(field, tmp_path)
    assert found.run.done == 4 and not found.run.missing  # two tasks, two seeds
    store, before = Store.open(tmp_path), Store.open(field)
    assert {cell.name for cell in store.cells()} == {"adam", "sgd", "lion"}
    assert {shard.id for shard in before.shards()} < {shard.id for shard in store.shards()}
    assert [row[1] for row in found.standings.rows].count("Lion") == 1
    said = "\n".join(found.lines)
    assert "Lion has a speedup on 2 tasks of smoke" in said
    assert "Probability that a run of it ends lower than one of:" in said and "SGD" in said
    assert "Rate to start from, after 20 steps:" in said
    assert "Race again, with --learning-rates beyond the edge." in said  # there are two rates
    assert "Slower than LR-tuned Adam on" in said
    assert found.report.page.is_file()
    assert go(field, tmp_path).run.done == 0


@pytest.mark.long
def test_a_grid_is_its_own(field: Path, tmp_path: Path):
    found = go(field, tmp_path, learning_rates=[1e-3], grid={"weight_decay": [0.0, 0.1]})
    assert found.run.done > 0
    points = {cell.name: {p.point for p in cell.planned} for cell in Store.open(tmp_path).cells()}
    assert {name: len(each) for name, each in points.items()} == {"adam": 3, "sgd": 3, "lion": 2}


def test_one_of_the_field_needs_no_training(field: Path, tmp_path: Path):
    found = go(field, tmp_path, "sgd")
    assert found.run.done == 0 and found.label == "SGD"


def test_what_cannot_race_is_refused(field: Path, tmp_path: Path):
    with pytest.raises(SpecError, match="another than adam, which all are measured by"):
        go(field, tmp_path, "adam")
    with pytest.raises(StoreError, match="no stored field comes with the suite smoke"):
        race("lion", tmp_path, suite="smoke")
    with pytest.raises(UnknownNameError, match="no suite named 'sprnt'. Did you mean 'sprint'"):
        race("lion", tmp_path, suite="sprnt")
    with pytest.raises(StoreError, match="is of the suite smoke, not of demo. Make it again"):
        race("lion", tmp_path, suite="demo", field=field)
    less = shutil.copytree(field, tmp_path / "less")
    next((less / "shards").iterdir()).unlink()
    with pytest.raises(StoreError, match="lacks 1 shard. Make it again: velodrome run smoke"):
        go(less, tmp_path)


def test_a_copy_of_the_field_that_was_interrupted_is_made_again(field: Path, tmp_path: Path):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / next((field / "shards").iterdir()).name).write_bytes(b"half")
    assert not go(field, tmp_path, "sgd").run.missing


@pytest.mark.long
def test_a_file_in_a_folder_is_edited_and_raced_again(
    field: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    file = Path("sub/mine.py")
    file.write_text("import optax\n\ndef make():\n    return optax.sgd(0.1)\n")
    assert go(field, Path("out"), "sub/mine.py:make").label == "make"
    file.write_text("import optax\n\ndef make():\n    return optax.sgd(0.2)\n")
    with pytest.raises(StoreError, match="--rerun-changed"):
        go(field, Path("out"), "sub/mine.py:make")
    assert go(field, Path("out"), "sub/mine.py:make", rerun_changed=True).run.done == 4


@pytest.mark.long
def test_the_field_is_taken_also_into_a_store_of_something_else(field: Path, tmp_path: Path):
    run("smoke", tmp_path, optimizers=["lion"], workers=0, timing=False, progress="silent")
    assert go(field, tmp_path).run.done == 0
