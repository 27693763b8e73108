"""Which question of a store is answered, and which of its runs are shown."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from synthetic import Candidate, make

from velodrome.foundation.errors import StoreError, UnknownNameError
from velodrome.results.report.data import collect
from velodrome.results.store.selection import Selection
from velodrome.results.store.store import Store


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of three optimizers and two seeds, whose last question is of another suite."""
    path = tmp_path_factory.mktemp("s") / "store"
    candidates = [Candidate("velo", [2.0]), Candidate("lion", [1.0])]
    store = make(path, candidates, steps=20, multiple=2, seeds=2, rates=(1e-3, 1e-2)).store
    protocol = {**store.manifest.get("protocol", {}), "steps": 10}
    manifest = {
        **store.manifest, "suite": {"name": "other", "hash": "o"}, "protocol": protocol,
        "protocol_hash": "p",
    }  # fmt: skip
    Store.create(path, manifest=manifest, plan=store.plan, suite=store.suite)
    return path


def test_the_last_question_is_answered_unless_another_is_chosen(directory: Path):
    def suite(**chosen: Any) -> object:
        return Selection(**chosen).open(directory).manifest["suite"].get("name")

    assert suite() == suite(steps=10) == suite(question=2) == "other"
    assert suite(suite="synthetic") == suite(steps=20) == suite(question="1") == "synthetic"
    with pytest.raises(StoreError, match="no question of the suite x; it has 0002-.* .other, 10 s"):
        suite(suite="x")
    with pytest.raises(StoreError, match="no question of the suite other with 20 steps"):
        suite(suite="other", steps=20)


def test_a_damaged_question_hides_no_other(directory: Path, tmp_path: Path):
    shutil.copytree(directory, tmp_path / "s")
    first, last = sorted((tmp_path / "s" / "questions").iterdir())
    last.write_text("{")
    ways = f"--question; there are {first.stem}.*, or delete {last.name}: all curves stay"
    for unclear in (Selection(), Selection(suite="other")):
        with pytest.raises(StoreError, match=f"{last.name} is damaged, .*{ways}"):
            unclear.open(tmp_path / "s")
    for fits in (Selection(suite="synthetic"), Selection(steps=20), Selection(question=1)):
        assert fits.open(tmp_path / "s").question == first.stem
    last.unlink()
    assert Selection().open(tmp_path / "s").question == first.stem
    first.write_text("{")
    with pytest.raises(StoreError, match="or choose another directory"):
        Selection().open(tmp_path / "s")


def test_optimizers_and_seeds_are_chosen_with_the_baseline(directory: Path):
    store = Selection(suite="synthetic", optimizers=["velo"], seeds=1).open(directory)
    assert [(cell.name, len(cell.lanes)) for cell in store.cells()] == [("adam", 2), ("velo", 1)]
    data = collect(store)
    assert data.context.labels == ("velo",) and list(data.summary["seeds"]) == [1]
    more = collect(Selection(suite="synthetic", seeds=9).open(directory))
    assert more.context.seeds == 2
    with pytest.raises(UnknownNameError, match="velo"):
        Selection(optimizers=["vel"]).open(directory)


def test_a_question_that_was_asked_again_meanwhile_stays_one_question(tmp_path: Path):
    first = make(tmp_path / "s", [Candidate("velo", [2.0])], steps=20, seeds=1, rates=(1e-3,)).store
    other: Any = {**first.manifest, "protocol_hash": "p"}
    for manifest in (other, first.manifest):
        Store.create(first.directory, manifest=manifest, plan=first.plan, suite=first.suite)
    (first.directory / "questions" / "0001_kept.json").write_text("not a question")
    first.take_manifest({**first.manifest, "command": "changed"})
    numbers = [name.partition("-")[0] for name in first.questions()]
    assert numbers == ["0003", "0002"] and first.question.startswith("0003-")
    assert Store.open(first.directory).manifest.get("command") == "changed"
