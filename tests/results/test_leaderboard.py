"""A result enters the leaderboard only if it can be trusted; the page has what the field says."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from scripts import enter_leaderboard as enter
from scripts import leaderboard
from velodrome.foundation.errors import StoreError
from velodrome.results.report.figures import contents
from velodrome.results.store.store import Store
from velodrome.suites.catalog import load_suite
from velodrome.suites.planning.plan import make_plan
from velodrome.suites.running.race import race
from velodrome.suites.running.run import run
from velodrome.suites.suite import Suite


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("field")
    run("smoke", out, optimizers=["adam"], baseline="exhaustive", timing=False, progress="silent")
    return out


@pytest.fixture(scope="module")
def raced(field: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("raced")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contents, "MODULES", (contents.sorted_speedup,))
        race("sgd", out, suite="smoke", field=field, timing=False, progress="silent")
    return out


def opened(*paths: Path) -> list[Store]:
    return [Store.open(path, read_only=True) for path in paths]


def test_a_good_result_repeats_and_is_added(
    field: Path, raced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(contents, "MODULES", (contents.sorted_speedup,))
    store, before = opened(raced, field)
    assert enter.entrant(store, before) == "sgd"
    assert [*enter.problems(store, before, "sgd"), *enter.retrained(store, "sgd")] == []
    grown = shutil.copytree(field, tmp_path / "field")
    enter.add(store, grown, "sgd")
    (after,) = opened(grown)
    assert {cell.name for cell in after.cells()} == {"adam", "sgd"}
    assert all(after.has_shard(shard.id) for shard in after.plan.shards)
    assert len(after.questions()) == 1 and (grown / "report.md").is_file()
    # What a reviewer does, with the folder of a pull request.
    assert enter.entrant(after, before) == "sgd"
    assert [*enter.problems(after, before, "sgd")] == []
    (grown / "headline.csv").write_text("label\n")
    said = "\n".join(enter.problems(after, before, "sgd"))
    assert "headline.csv has another SHA-256" in said and "other rows or columns" in said
    # Someone who raced in a copy of a published folder has many files that nobody signed.
    for name in ("a.txt", "b.txt"):
        (grown / name).touch()
    (said,) = enter.problems(after, before, "sgd")
    assert said.startswith("2 files of ") and "such as a.txt" in said and "remove that list" in said


def test_what_is_missing_or_changed_is_said(field: Path, raced: Path, tmp_path: Path):
    copy = shutil.copytree(raced, tmp_path / "copy")
    store, before = opened(copy, field)
    ours = next(shard for shard in store.shards() if shard.optimizer.name == "sgd")
    theirs, other = [shard for shard in store.shards() if shard.optimizer.name == "adam"][:2]
    ours.path.unlink()
    shutil.copy(other.path, theirs.path)
    store, before = opened(copy, field)
    said = "\n".join(enter.problems(store, before, "sgd"))
    assert "missing: run the same race again" in said
    assert f"the field's shard {theirs.id} is missing or has other losses" in said
    assert "put the optimizer into optimizers/" in "".join(
        enter.problems(store, before, "mine.py:make")
    )
    assert "nobody could race without" in "".join(enter.problems(store, before, "celo"))
    with pytest.raises(StoreError, match="has 0 new optimizers, not one"):
        enter.entrant(before, before)


def test_an_optimizer_without_a_sweep_is_trained_again_too(tmp_path: Path):
    suite = dataclasses.replace(load_suite("smoke"), optimizers=("adam", "prodigy"))
    plan = make_plan(suite)
    about = {"suite": {"name": suite.name, "hash": suite.hash}, "protocol_hash": "p"}
    store = Store.create(tmp_path, manifest=about, plan=plan, suite=suite.to_json())
    for cell in store.cells():
        part = enter.first_run(store, cell)
        (planned,) = make_plan(part).cells
        assert [lane.run for lane in planned.lanes] == [cell.planned[0].run]


def test_a_curve_that_does_not_repeat_is_said(field: Path, raced: Path):
    store, before = opened(raced, field)
    sgd = next(cell for cell in store.cells() if cell.name == "sgd")
    adam = next(cell for cell in before.cells() if cell.task.hash == sgd.task.hash)
    assert any("the first losses are" in line for line in enter.difference(sgd, adam))


@pytest.mark.long
def test_the_page_has_the_published_field():
    text = leaderboard.DOCUMENT.read_text()
    assert leaderboard.replaced(text) == text


def test_nobody_trains_the_published_field_again():
    (store,) = opened(leaderboard.FIELD)
    there = {shard.cell for shard in store.shards()}
    cells = make_plan(Suite.from_json(dict(store.suite))).cells
    assert {cell.id for cell in cells} == there
