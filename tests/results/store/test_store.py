from __future__ import annotations

import dataclasses
import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from plans import plan_of, question_of
from synthetic import Candidate, make

from velodrome.foundation.errors import StoreError, VelodromeError
from velodrome.results.store.store import Store

LANES = [
    {"lane": 0, "seed": 0, "hyperparameters": {"learning_rate": 0.1}},
    {"lane": 1, "seed": 1, "hyperparameters": {"learning_rate": 0.1}},
]
CELL = {
    "id": "c0",
    "task": {"index": 0, "label": "mlp-1", "family": "mlp", "hash": "h"},
    "optimizer": {"name": "adam", "label": "Adam"},
    "horizon": 20,
}
PLAN = plan_of(
    [CELL, {**CELL, "id": "c1", "optimizer": {"name": "velo", "label": "VeLO"}}],
    [
        {"id": "s0", "cell": "c0", "lanes": LANES},
        {"id": "s1", "cell": "c1", "lanes": LANES[:1]},
    ],
)


def manifest(suite: str = "aaa", protocol: str = "bbb") -> dict[str, Any]:
    return {
        "suite": {"name": f"suite-{suite}", "hash": suite},
        "protocol": {"version": 1, "baseline": "adam"},
        "protocol_hash": protocol,
    }


def create(path: Path, **kwargs: str) -> Store:
    return Store.create(path, manifest=manifest(**kwargs), plan=PLAN, suite={"name": "x"})


def columns() -> dict[str, np.ndarray]:
    lane = np.repeat([0, 1], 6)
    step = np.tile([0, 10, 20], 4)
    split = np.tile(np.repeat(["train", "heldout"], 3), 2)
    value = np.arange(12, dtype=np.float32)
    return {
        "lane": lane, "step": step, "split": split, "value": value,
        "metric": np.full(12, "loss"),
    }  # fmt: skip


METADATA = {
    "cell": CELL,
    "lanes": LANES,
    "data": {"name": "digits", "content_hash": "d", "provenance": "built-in"},
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = create(tmp_path / "store")
    made.write_shard("s0", columns(), METADATA)
    return made


def files(directory: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def test_round_trip(store: Store):
    assert store.has_shard("s0") and not store.has_shard("s1")
    cell, empty = store.cells()
    train, heldout = cell.curves(), cell.curves(split="heldout")
    np.testing.assert_array_equal(train.steps, [0, 10, 20])
    np.testing.assert_array_equal(train.values, [[0, 1, 2], [6, 7, 8]])
    np.testing.assert_array_equal(heldout.values, [[3, 4, 5], [9, 10, 11]])
    assert [lane.seed for lane in train.lanes] == [0, 1]
    assert train.lanes[0].hyperparameters == {"learning_rate": 0.1}
    assert cell.curves(metric="accuracy").values.shape == (2, 0)
    assert empty.id == "c1" and empty.name == "velo" and not empty.shards
    assert len(empty.planned) == 1 and empty.curves().values.shape == (0, 0)
    assert store.problems == ()


@pytest.mark.parametrize("name", ["~/x", "exp:1", "s3:x"])
def test_what_is_written_is_read_wherever_it_lies(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Libraries take ``word:`` for the scheme of an address, and read ``~`` as they like."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    made = create(Path(name))
    made.write_shard("s0", columns(), METADATA)
    assert made.has_shard("s0") and not made.problems
    opened = Store.open(name)
    assert opened.directory == tmp_path / name.replace("~", "home")
    assert next(opened.cells()).curves().values.shape == (2, 3)


def test_rewriting_gives_the_same_bytes(store: Store):
    path = store.directory / "shards" / "s0.parquet"
    before = path.read_bytes()
    store.write_shard("s0", columns(), METADATA)
    assert path.read_bytes() == before


def test_opening_and_reading_write_nothing(store: Store):
    before = files(store.directory)
    opened = Store.open(store.directory, read_only=True)
    for cell in opened.cells():
        cell.curves()
    assert opened.timings == {} and opened.failures == {} and opened.problems == ()
    assert files(store.directory) == before
    for write in (
        lambda: opened.write_shard("s0", columns(), METADATA),
        lambda: opened.write_timing("c0", {}),
        lambda: opened.write_timing_failure("c0", "oom", "m"),
        lambda: opened.write_failure("s0", {}),
    ):
        with pytest.raises(StoreError, match="for reading only"):
            write()


def test_a_question_that_is_asked_again_keeps_what_it_says_and_is_the_last_one(store: Store):
    first = store.question
    later = Store.create(store.directory, manifest=manifest(), plan=plan_of([], []), suite={})
    assert Store.open(store.directory).question == later.question != first
    assert not list(later.cells())
    again = Store.create(
        store.directory, manifest={**manifest(), "command": "x"}, plan=PLAN, suite={}
    )
    assert again.plan == PLAN and "command" not in again.manifest
    names = [path.stem for path in sorted((store.directory / "questions").iterdir())]
    assert names == [later.question, again.question]
    assert [name.partition("-")[0] for name in (first, *names)] == ["0001", "0002", "0003"]
    assert Store.open(store.directory, question_name=2).question == later.question
    with pytest.raises(StoreError, match="has no question 7; it has 0002-.*, 0003-"):
        Store.open(store.directory, question_name=7)


def test_a_shard_that_is_not_as_planned_is_refused(store: Store):
    with pytest.raises(StoreError, match="its id is not that of the runs in it"):
        store.write_shard("s9", columns(), METADATA)
    with pytest.raises(StoreError, match="cell is 'c0', the plan's is 'c1'"):
        store.write_shard("s1", columns(), METADATA)
    with pytest.raises(StoreError, match="go to step 30, the plan's to 20"):
        store.write_shard("s0", columns(), {**METADATA, "stop": 30})


def test_no_store_there(tmp_path: Path):
    with pytest.raises(StoreError, match="not a result store"):
        Store.open(tmp_path)


def test_shards_without_a_question_are_not_adopted(store: Store):
    question_of(store.directory).unlink()
    with pytest.raises(StoreError, match="shards but no questions"):
        create(store.directory)


@pytest.mark.parametrize(("schema", "word"), [(2, "newer"), (0, "older"), (None, "older")])
def test_other_schemas_are_refused_by_name(store: Store, schema: int | None, word: str):
    path = question_of(store.directory)
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": schema}))
    with pytest.raises(StoreError, match=f"schema {schema}, this version reads schema 1.*{word}"):
        Store.open(store.directory)


def test_a_damaged_question(store: Store):
    question_of(store.directory).write_text('{"schema": 1, "kin')
    with pytest.raises(StoreError, match=r"is damaged.*original file back"):
        Store.open(store.directory)


@pytest.mark.parametrize("part", ["manifest", "plan", "suite"])
def test_a_question_without_a_part(store: Store, part: str):
    path = question_of(store.directory)
    content = json.loads(path.read_text())
    del content[part]
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=r"original file back"):
        Store.open(store.directory)


def test_truncated_and_foreign_files_are_reported_and_skipped(store: Store):
    shards = store.directory / "shards"
    good = (shards / "s0.parquet").read_bytes()
    (shards / "s1.parquet").write_bytes(good[: len(good) // 2])
    pq.write_table(pa.table({"x": [1]}), shards / "s2.parquet")
    shutil.copy(shards / "s0.parquet", shards / "s3.parquet")
    (shards / "notes.txt").write_text("mine")
    (shards / ".s4.abc.tmp.parquet").write_bytes(b"in flight")
    opened = Store.open(store.directory)
    assert [shard.id for shard in opened.shards()] == ["s0"]
    reasons = {problem.path.name: problem.reason for problem in opened.problems}
    assert set(reasons) == {"s1.parquet", "s2.parquet", "s3.parquet", "notes.txt"}
    assert "truncated" in reasons["s1.parquet"]
    assert "foreign Parquet" in reasons["s2.parquet"]
    assert "shard is 's0', not 's3'" in reasons["s3.parquet"]
    assert not opened.has_shard("s1")
    (shards / "s1.parquet").unlink()
    assert "s1.parquet" not in {problem.path.name for problem in opened.problems}


def test_a_shard_of_a_newer_schema_is_reported_by_name(store: Store):
    path = store.directory / "shards" / "s0.parquet"
    table = pq.read_table(path)
    metadata = json.loads(table.schema.metadata[b"velodrome"])
    said = json.dumps({**metadata, "schema": 7}).encode()
    pq.write_table(table.replace_schema_metadata({b"velodrome": said}), path)
    assert not store.has_shard("s0")
    (problem,) = store.problems
    assert "schema 7" in problem.reason and "newer" in problem.reason


def test_damage_inside_a_page_is_found(tmp_path: Path):
    made = make(tmp_path, [Candidate("velo", [2.0])])
    cell = next(made.store.cells())
    path = cell.shards[0].path
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle] ^= 0xFF
    path.write_bytes(bytes(data))
    assert cell.curves().values.shape == (0, 0)
    (problem,) = made.store.problems
    assert problem.path == path and "damaged" in problem.reason
    with pytest.raises(StoreError, match="damaged"):
        dataclasses.replace(cell, report=None).curves()


def test_timings_and_failures(store: Store):
    store.write_timing("c0", {"ratio": 2.0})
    store.write_failure("s1", {"kind": "oom", "message": "m"})
    assert store.timings["c0"].get("ratio") == 2.0
    assert store.failures["s1"].get("kind") == "oom"
    _, cell = store.cells()
    assert cell.failures[0].get("message") == "m"
    (store.directory / "timings" / "c1.json").write_text("{")
    assert set(store.timings) == {"c0"}
    assert "c1.json" in {problem.path.name for problem in store.problems}


def test_failures_of_timings(store: Store):
    path = store.write_timing_failure("c0", "oom", "out of memory")
    store.write_timing_failure("c1", "killed", "by signal 9")
    assert path == store.directory / "timings" / "c0.failed.json"
    assert store.timings == {} and set(store.timing_failures) == {"c0", "c1"}
    record = json.loads(path.read_text())
    assert record == {**record, "cell": "c0", "kind": "oom", "message": "out of memory"}
    assert datetime.fromisoformat(record["time"]).tzinfo is not None
    store.write_timing("c0", {"ratio": 2.0})
    assert set(store.timings) == {"c0"} and set(store.timing_failures) == {"c1"}
    (store.directory / "timings" / "c1.failed.json").write_text("{")
    assert store.timing_failures == {}
    assert "c1.failed.json" in {problem.path.name for problem in store.problems}


def test_a_success_clears_the_failure(store: Store):
    store.write_failure("s0", {"kind": "killed"})
    store.write_shard("s0", columns(), METADATA)
    assert store.failures == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": np.zeros(3)}, "equally long"),
        ({"lane": np.full(12, 5)}, "does not list"),
    ],
)
def test_malformed_columns(store: Store, change: dict[str, np.ndarray], message: str):
    with pytest.raises(StoreError, match=message):
        store.write_shard("s0", {**columns(), **change}, METADATA)


def test_nothing_half_written(store: Store, monkeypatch: pytest.MonkeyPatch):
    before = files(store.directory)

    def full(*_args: object, **_kwargs: object):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(VelodromeError, match="No space left on device"):
        store.write_shard("s0", columns(), METADATA)
    assert files(store.directory) == before
