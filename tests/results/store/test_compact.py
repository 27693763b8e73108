"""Compaction: few files with the same content, whatever moment it is killed at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from plans import as_legacy
from synthetic import Candidate, make

from velodrome.foundation.errors import StoreError
from velodrome.results.store import compact as compact_module
from velodrome.results.store import shard_file
from velodrome.results.store.compact import compact
from velodrome.results.store.shard_files import ShardFiles
from velodrome.results.store.status import StatusReader
from velodrome.results.store.store import Store


@pytest.fixture(scope="module", params=["of today", "of before"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "store"
    make(
        directory, [Candidate("velo", [2.0]), Candidate("x", [1.0])], steps=20, multiple=1, seeds=1,
        rates=(1e-3, 1.0), failed=[("x", 0)], untimed=[("velo", 0)], rate_shards=True,
    )  # fmt: skip
    store = Store.open(directory)
    untimed = next(cell.id for cell in store.plan.cells if cell.id not in store.timings)
    store.write_timing_failure(untimed, "oom", "out of memory")
    if request.param == "of before":
        as_legacy(directory)
    return directory


def answer(directory: Path) -> dict[str, object]:
    """All that a store says, by what it is of and not by its ids."""
    store = Store.open(directory, read_only=True)
    found: dict[str, object] = {"problems": ""}
    for cell in store.cells():
        key = f"{cell.task.label} {cell.name}"
        for split in ("train", "heldout"):
            read = cell.curves(split=split)
            lanes = [(lane.run, lane.status, lane.diverged_at) for lane in read.lanes]
            found[f"{key} {split}"] = lanes, read.steps.tobytes(), read.values.tobytes()
        timing = store.timings.get(cell.id, {})
        found[key] = (
            len(cell.planned), timing.get("ratio"), cell.id in store.timing_failures,
            [failure.get("message") for failure in cell.failures],
        )  # fmt: skip
    return found


def test_a_compacted_store_has_few_files_and_says_the_same(made: Path, tmp_path: Path):
    directory = shutil.copytree(made, tmp_path / "store")
    expected = answer(directory)
    done = compact(directory)
    assert answer(directory) == expected
    files = {str(x.relative_to(directory)) for x in directory.rglob("*") if x.is_file()}
    assert len(files) == done.files == 5 < done.before and done.shards == 3
    assert {"timings/all.json"} < files and not any("manifest" in name for name in files)
    store = Store.open(directory)
    assert store.problems == () and all(store.has_shard(x.id) for x in store.shards())
    again = compact(directory)
    assert (again.before, again.files) == (5, 5) and answer(directory) == expected


def test_a_status_counts_the_timings_of_an_old_store(made: Path, tmp_path: Path):
    directory = shutil.copytree(made, tmp_path / "store")
    assert StatusReader(directory).read().timed == 1
    compact(directory)
    assert StatusReader(directory).read().timed == 1


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let the file operations that are left happen, and none after them."""
    left = [10**9]

    def counted(name: str) -> None:
        original = getattr(Path, name)

        def operation(self: Path, *args: object, **kwargs: object) -> object:
            if left[0] <= 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return original(self, *args, **kwargs)

        monkeypatch.setattr(Path, name, operation)

    for name in ("unlink", "replace", "rename"):
        counted(name)
    yield left


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.long)])
def test_a_kill_between_any_two_operations_loses_nothing(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: list[int], stride: int
):
    monkeypatch.setattr(compact_module, "PACK_SHARDS", 2)
    expected, operations = answer(made), 0
    while True:
        directory = shutil.copytree(made, tmp_path / "store")
        kill[0] = operations
        try:
            compact(directory)
        except KeyboardInterrupt:
            killed = True
        else:
            killed = False
        kill[0] = 10**9
        assert answer(directory) == expected
        if killed:
            compact(directory)
        assert answer(directory) == expected
        assert Store.open(directory).problems == ()
        shutil.rmtree(directory)
        operations += stride
        if not killed:
            break
    assert operations > 8


def test_what_is_damaged_stays_as_it_is(made: Path, tmp_path: Path):
    directory = shutil.copytree(made, tmp_path / "store")
    path = sorted((directory / "shards").iterdir())[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)
    timing = sorted((directory / "timings").iterdir())[0]
    timing.write_text("{")
    for _ in range(2):
        done = compact(directory)
        assert {problem.path for problem in done.problems} >= {timing}
    assert path.read_bytes() == data and timing.read_text() == "{"
    shards = sorted((directory / "shards").iterdir())
    assert len(shards) == 2 and shards[1].name.startswith("pack-")


def test_a_pack_stays_while_the_only_whole_copy_of_a_shard_is_in_it(made: Path, tmp_path: Path):
    directory = shutil.copytree(made, tmp_path / "store")
    compact(directory)
    (pack,) = (directory / "shards").iterdir()
    store = Store.open(directory)
    record = store.shards()[0]
    path = store.write_shard(
        record.id,
        {name: record.table()[name].to_numpy() for name in record.table().column_names},
        shard_file.plain(record.metadata),
    )
    path.write_bytes(path.read_bytes()[:4] + b"damaged!" * 20 + path.read_bytes()[164:])
    compact(directory)
    path.unlink()
    assert pack.exists() and len(Store.open(directory).shards()) == 3


def test_a_timing_clears_its_earlier_failure_also_in_a_packed_store(made: Path, tmp_path: Path):
    directory = shutil.copytree(made, tmp_path / "store")
    compact(directory)
    store = Store.open(directory)
    (untimed,) = store.timing_failures
    store.write_timing(untimed, {"ratio": 1.0})
    assert store.timing_failures == {} and untimed in store.timings
    assert StatusReader(directory).read().timed == len(store.timings)


def test_nothing_is_left_out_while_a_store_is_packed(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    directory = shutil.copytree(made, tmp_path / "store")
    expected = [record.metadata["lanes"] for record in Store.open(directory).shards()]
    reading, original = Store.open(directory), ShardFiles.read

    def packed_meanwhile(self: ShardFiles, path: Path, **only: str) -> object:
        monkeypatch.setattr(ShardFiles, "read", original)
        compact(directory)
        return original(self, path, **only)

    cells = list(reading.cells())
    monkeypatch.setattr(ShardFiles, "read", packed_meanwhile)
    if not (made / "manifest.json").exists():
        assert [record.metadata["lanes"] for record in reading.shards()] == expected
        with pytest.raises(StoreError, match="was moved while the store was read"):
            _ = [cell.curves() for cell in cells]


@pytest.mark.parametrize("made", ["of before"], indirect=True)
def test_an_older_store_is_not_written_to(made: Path):
    store = Store.open(made)
    with pytest.raises(StoreError, match="for reading only"):
        store.write_failure("x", {})
    with pytest.raises(StoreError, match="written by an older velodrome.*velodrome compact"):
        Store.create(made, manifest=store.manifest, plan=store.plan, suite=store.suite)
