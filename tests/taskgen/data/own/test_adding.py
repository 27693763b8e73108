"""Names for data of the user's own: what they stand for, here, later, and on another machine."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import velodrome
from velodrome.foundation.errors import DataError, SpecError, UnknownNameError
from velodrome.taskgen.data import add as adding
from velodrome.taskgen.data.own import names
from velodrome.taskgen.data.own.record import read_record, record_path, write_reading
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.stored import cached_arrays
from velodrome.taskgen.sampler import sample

ROWS = "a,b,kind\n" + "".join(f"{i},{i * i},{'xyz'[i % 3]}\n" for i in range(60))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(ROWS)
    return path


def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be another machine, which has the files but not the cache."""
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "other-cache"))


def test_a_name_works_like_any_other(table: Path):
    info = velodrome.add_data("mine", table).info
    assert (info.kind, info.shape, info.num_classes, info.provenance) == ("table", (2,), 3, "own")
    assert "mine" in datasets and "mine" in datasets.names() and not datasets.is_own("mine")
    found = datasets.load("mine")
    assert found[0] is datasets.get("mine") and found[1] == {}
    assert isinstance(found[0].load("heldout")["row"], np.memmap)
    velodrome.add_data("mine", table)  # again: nothing changes
    velodrome.add_data("also-mine", table, ignore=["b"])  # beside the other in one record
    assert datasets.get("mine").info == info and datasets.get("also-mine").info.shape == (1,)
    adding.forget("mine")
    with pytest.raises(UnknownNameError):
        datasets.get("mine")
    assert datasets.get("also-mine").info.num_classes == 3 and table.read_text() == ROWS
    adding.forget("also-mine")
    assert not record_path(str(table)).exists() and table.read_text() == ROWS


def test_sampled_tasks_name_the_content(table: Path, tmp_path: Path, monkeypatch):
    specs = sample(6, seed=3, data=str(table))
    info = datasets.get("table").info
    assert {spec.data for spec in specs} == {velodrome.DataSpec("table", hash=info.content_hash)}
    assert {spec.family for spec in specs} == {"tabular_mlp"}
    assert max(spec.batch_size for spec in specs) <= 48  # the train split
    assert [spec.hash for spec in specs] == [s.hash for s in sample(6, seed=3, data="table")]
    spec = velodrome.TaskSpec.from_json(json.loads(json.dumps(specs[0].to_json())))
    assert spec == specs[0] and velodrome.cost(spec).params > 0
    elsewhere(tmp_path, monkeypatch)
    with pytest.raises(DataError, match="not here.*`velodrome data add table FILE`.*content hash"):
        velodrome.cost(spec)
    (tmp_path / "other").mkdir()
    velodrome.add_data("table", shutil.copy(table, tmp_path / "other"))
    assert velodrome.cost(spec).params > 0
    table.write_text(ROWS + "7,7,x\n")
    velodrome.add_data("table", table, replace=True)
    with pytest.raises(DataError, match="with the content hash.*but the data set of that name"):
        velodrome.cost(spec)


def test_the_networks_do_not_depend_on_the_data(table: Path):
    velodrome.add_data("one", table)
    velodrome.add_data("two", table, ignore=["a"])
    one, two = (sample(4, seed=0, data=name) for name in ("one", "two"))
    assert [spec.config for spec in one] == [spec.config for spec in two]
    assert [spec.config for spec in sample(4, seed=0, data="breast_cancer")] == [
        spec.config for spec in one
    ]


def test_a_family_for_other_data_is_refused(table: Path):
    with pytest.raises(SpecError, match="family: got 'mlp'.*of kind 'table'.*tabular_mlp"):
        sample(1, seed=0, family="mlp", data=str(table))
    with pytest.raises(SpecError, match="data: got 'published'.*none of these is of kind 'table'"):
        sample(1, seed=0, family="tabular_mlp")
    with pytest.raises(UnknownNameError, match="there is no data set named 'tabel'"):
        sample(1, seed=0, data="tabel")
    with pytest.raises(DataError, match="there is no file or folder tabel.csv"):
        sample(1, seed=0, data="tabel.csv")


def test_own_images_are_shifted(tmp_path: Path):
    x = np.random.default_rng(0).integers(0, 256, (40, 16, 16), np.uint8)
    np.savez(tmp_path / "Some Images.npz", x=x, y=np.arange(40) % 4)
    specs = sample(8, seed=0, data=str(tmp_path / "Some Images.npz"))
    assert {spec.data.name for spec in specs} == {"some-images"}
    assert {spec.family for spec in specs} == {"mlp", "cnn"}
    assert all(spec.data.shift == max(1, spec.config.image_size // 8) for spec in specs)
    assert not any(spec.data.flip for spec in specs)


def test_own_text(tmp_path: Path):
    (tmp_path / "novel.txt").write_text("It was a dark and stormy night.\n" * 400)
    specs = sample(8, seed=0, data=str(tmp_path / "novel.txt"))
    assert {spec.family for spec in specs} == {"rnn", "transformer"}
    for spec in specs:
        source = velodrome.open_source(spec, "train")
        assert source.size >= spec.batch_size


def test_changed_data_are_refused(table: Path):
    velodrome.add_data("mine", table)
    os.utime(table, ns=(1, 1))  # touched, not changed
    assert datasets.get("mine").load("train")
    table.write_text(ROWS.replace("x", "w").replace("\n5,", "\n55,"))
    for use in (datasets.get, lambda name: velodrome.add_data(name, table)):
        with pytest.raises(DataError, match="table.csv has changed since it was added as 'mine'"):
            use("mine")
    before = list((names.cache_dir() / "data").glob("mine-*"))
    assert velodrome.add_data("mine", table, replace=True).info.class_names == ("w", "y", "z")
    assert not before[0].exists()  # the old arrays
    table.unlink()
    with pytest.raises(DataError, match="table.csv, which is no longer there"):
        datasets.get("mine")


def test_arrays_are_read_again_where_the_cache_lacks_them(table: Path, monkeypatch):
    expected = velodrome.add_data("mine", table).load("train")["row"].copy()
    for path in (names.cache_dir() / "data").glob("mine-*"):
        shutil.rmtree(path)
    names._open.cache_clear()
    np.testing.assert_array_equal(datasets.get("mine").load("train")["row"], expected)
    for path in (names.cache_dir() / "data").glob("mine-*"):
        shutil.rmtree(path)
    names._open.cache_clear()
    monkeypatch.setattr("velodrome.taskgen.data.own.tablefile.standardised", lambda v, train: v)
    with pytest.raises(DataError, match="read again from .*table.csv.*recorded with.*pyarrow"):
        datasets.get("mine").load("train")


def damage(file: Path, content: str) -> None:
    assert file.is_file()
    file.write_text(content)


@pytest.mark.parametrize("content", ["{", '{"schema": 1, "data": {"mine": {}}}', "\xff"])
def test_a_damaged_record_says_what_to_do(table: Path, content: str):
    velodrome.add_data("mine", table)
    damage(table.with_name("table.csv.velodrome.json"), content)
    for use in (datasets.get, lambda name: velodrome.add_data(name, table)):
        with pytest.raises(DataError, match="table.csv.velodrome.json is damaged.*Delete it"):
            use("mine")
    assert "mine" in datasets.names()  # so that lists say what is wrong
    table.with_name("table.csv.velodrome.json").unlink()
    with pytest.raises(DataError, match="is gone: run `velodrome data add mine"):
        datasets.get("mine")
    damage(names.entry_path("mine"), content)
    with pytest.raises(DataError, match="mine.json.*is damaged"):
        datasets.get("mine")
    adding.forget("mine")
    velodrome.add_data("mine", table)


def test_a_record_that_cannot_lie_beside_the_data_is_kept_in_the_cache(table: Path, monkeypatch):
    refused = []

    def write(path: Path, value: object) -> None:
        if path.parent == table.parent:
            refused.append(path)
            raise velodrome.WriteError("read-only")
        real(path, value)

    real = adding.names.atomic_write_json
    monkeypatch.setattr("velodrome.taskgen.data.own.record.atomic_write_json", write)
    velodrome.add_data("mine", table)
    assert refused and datasets.get("mine").info.num_classes == 3


def test_a_record_of_others_that_cannot_be_written_is_copied_into_the_cache(
    table: Path, monkeypatch
):
    velodrome.add_data("theirs", table)

    def write(path: Path, value: object) -> None:
        if path.parent == table.parent:
            raise velodrome.WriteError("read-only")
        real(path, value)

    real = adding.names.atomic_write_json
    monkeypatch.setattr("velodrome.taskgen.data.own.record.atomic_write_json", write)
    assert velodrome.add_data("mine", table, ignore=["b"]).info.shape == (1,)
    assert datasets.get("theirs").info.shape == (2,)


def test_files_that_are_being_written_are_no_names(table: Path):
    velodrome.add_data("mine", table)
    names.entry_path("x").with_name(".mine.k2j.tmp.json").write_text("{")
    assert names.names() == ["mine"]


def test_a_path_that_is_too_long_is_refused():
    with pytest.raises(DataError, match="cannot be read: File name too long"):
        velodrome.add_data("mine", "x" * 300 + ".csv")


def test_the_command_that_replaces_data_has_their_options(table: Path):
    velodrome.add_data("mine", table, label="kind", ignore=["b"])
    table.write_text(ROWS.replace("\n5,", "\n55,"))
    with pytest.raises(DataError, match="add mine .*csv --label kind --ignore b --replace"):
        datasets.get("mine")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digits", "'digits' is taken by a data set that is not yours"),
        ("built-in", "'built-in' is taken"),
        ("my flowers", "name: got 'my flowers'"),
        ("other", "'other' is taken: it stands for .*other.csv. Choose another name"),
    ],
)
def test_names_that_are_refused(table: Path, name: str, message: str):
    other = table.with_name("other.csv")
    other.write_text(ROWS)
    velodrome.add_data("other", other)
    with pytest.raises(velodrome.VelodromeError, match=message):
        velodrome.add_data(name, table)


def test_other_options_for_a_name_are_refused(table: Path):
    velodrome.add_data("mine", table)
    with pytest.raises(DataError, match="was added as 'mine' with other options: none"):
        velodrome.add_data("mine", table, ignore=["b"])
    assert velodrome.add_data("mine", table, ignore=["b"], replace=True).info.shape == (1,)


def test_a_path_is_no_name_and_says_so(table: Path):
    with pytest.raises(DataError, match="is no name of a data set.*`velodrome data add table "):
        datasets.get(str(table))
    sample(1, seed=0, data=table)
    with pytest.raises(DataError, match="table.csv was added as 'table': give that name"):
        datasets.get(str(table))


def test_a_kill_while_data_are_replaced_leaves_the_old_ones(table: Path, monkeypatch):
    old = velodrome.add_data("mine", table)
    other = table.with_name("other.csv")
    other.write_text(ROWS.replace("\n5,", "\n55,"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("velodrome.taskgen.data.add.write_reading", killed)
        velodrome.add_data("mine", other, replace=True)
    assert velodrome.datasets.get("mine").info.content_hash == old.info.content_hash
    new = velodrome.add_data("mine", other, replace=True)
    assert velodrome.datasets.get("mine").info.content_hash == new.info.content_hash
    assert new.info.content_hash != old.info.content_hash
    # What was replaced is gone: its arrays, and its reading beside the old file.
    assert not cached_arrays(old.info).exists()
    assert read_record(record_path(str(table))) == {}


def test_readings_of_several_processes_are_all_kept(table: Path):
    velodrome.add_data("first", table)
    reading = read_record(record_path(str(table)))["first"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: write_reading(str(table), f"n{at}", reading), range(24)))
    assert set(read_record(record_path(str(table)))) == {"first", *(f"n{at}" for at in range(24))}
