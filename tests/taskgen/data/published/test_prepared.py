"""Preparations that are interrupted, and prepared data that are damaged or replaced."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tinydata import (
    MNIST,
    loaded,
    write_mnist,
)

from velodrome.foundation.errors import DataError
from velodrome.foundation.files import sha256_file
from velodrome.taskgen.data.arrays import hash_arrays
from velodrome.taskgen.data.published import prepare as preparing
from velodrome.taskgen.data.published import writer
from velodrome.taskgen.data.published.prepare import prepare
from velodrome.taskgen.data.published.prepared import missing, prepared_dir
from velodrome.taskgen.data.published.readers.base import SplitReader
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.source import open_view
from velodrome.taskgen.views import ImageView

pytestmark = pytest.mark.usefixtures("own_cache")


def reader_of(count: int, seen: list[int], fail_at: int = -1) -> SplitReader:
    def read(start: int, stop: int) -> dict[str, np.ndarray]:
        if start == fail_at:
            raise KeyboardInterrupt
        seen.append(start)
        lengths = np.arange(start, stop) % 4
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        tokens = np.repeat(np.arange(start, stop), lengths).astype(np.uint16)
        return {"tokens": tokens, "offsets": offsets}

    return SplitReader(count, read)


def test_an_interrupted_preparation_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer, "CHUNK", 8)
    whole, seen = tmp_path / "whole", []
    writer.write_split(whole, reader_of(30, seen), source="one")
    assert seen == [0, 8, 16, 24]
    tokens, offsets = np.load(whole / "tokens.npy"), np.load(whole / "offsets.npy")
    assert len(offsets) == 31 and offsets.dtype == np.int64
    for at in range(30):
        assert tokens[offsets[at] : offsets[at + 1]].tolist() == [at] * (at % 4)
    part, seen = tmp_path / "part", []
    with pytest.raises(KeyboardInterrupt):
        writer.write_split(part, reader_of(30, seen, fail_at=16), source="one")
    with (part / "tokens.npy").open("ab") as file:
        file.write(b"what was written after the last note")
    seen_progress: list[tuple[int, int]] = []
    writer.write_split(
        part, reader_of(30, seen), source="one", progress=lambda *done: seen_progress.append(done)
    )
    assert seen == [0, 8, 16, 24] and seen_progress == [(24, 30), (30, 30)]
    assert sorted(path.name for path in part.iterdir()) == ["offsets.npy", "tokens.npy"]
    np.testing.assert_array_equal(np.load(part / "tokens.npy"), tokens)
    np.testing.assert_array_equal(np.load(part / "offsets.npy"), offsets)
    other, seen = tmp_path / "other", []
    with pytest.raises(KeyboardInterrupt):
        writer.write_split(other, reader_of(30, seen, fail_at=16), source="one")
    writer.write_split(other, reader_of(30, seen), source="two")  # another source: from the start
    assert seen == [0, 8, 0, 8, 16, 24]


def test_an_interrupted_data_set_is_resumed_with_its_second_split(
    mnist: Path, monkeypatch: pytest.MonkeyPatch
):
    real, written, stops = preparing.write_split, [], ["heldout.part"]

    def write(folder: Path, *args: Any, **options: Any) -> None:
        if folder.name in stops:
            raise KeyboardInterrupt
        written.append(folder.name)
        real(folder, *args, **options)

    monkeypatch.setattr(preparing, "write_split", write)
    with pytest.raises(KeyboardInterrupt):
        prepare("mnist", source=mnist)
    assert datasets.get("mnist").info.content_hash == ""  # not complete, so not there
    with pytest.raises(DataError, match="'train' split of 'mnist' is not here"):
        datasets.get("mnist").load("train")
    stops.clear()
    prepare("mnist", source=mnist)
    assert written == ["train.part", "heldout.part"]
    assert loaded("mnist")["train"]["image"].shape == (40, 28, 28, 1)


def test_a_second_source_is_not_mixed_with_the_first(
    mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The first preparation stops in its second split; the second one has other files."""
    real, stops = preparing.write_split, ["heldout.part"]

    def write(folder: Path, *args: Any, **options: Any) -> None:
        if folder.name in stops:
            raise KeyboardInterrupt
        real(folder, *args, **options)

    monkeypatch.setattr(preparing, "write_split", write)
    with pytest.raises(KeyboardInterrupt):
        prepare("mnist", source=mnist)
    stops.clear()
    others = {split: 255 - images for split, images in MNIST.items()}
    write_mnist(tmp_path / "other", others)
    record = prepare("mnist", source=tmp_path / "other")
    for split, images in loaded("mnist").items():
        known = {image.tobytes() for image in others["train" if split == "train" else "test"]}
        assert {image.tobytes() for image in images["image"]} <= known, split
    images = tmp_path / "other" / "train-images-idx3-ubyte.gz"
    assert record.files[images.name].sha256 == sha256_file(images)
    # Notes about the unfinished data set are gone.
    names = sorted(path.name for path in prepared_dir("mnist").iterdir())
    assert names == ["heldout", "record.json", "train"]


def test_damage_after_the_preparation_is_found(mnist: Path, tmp_path: Path):
    prepare("mnist", source=mnist)
    path = prepared_dir("mnist") / "train" / "image.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="have the content hash .* was recorded"):
        datasets.get("mnist").load("train")
    datasets.get("mnist").load("heldout")
    path.write_bytes(content[:100])
    with pytest.raises(DataError, match="are damaged: .*Delete"):
        datasets.get("mnist").load("train")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: "", "record.json is damaged"),
        (lambda record: "[]", "record.json is damaged"),
        (lambda record: json.dumps({**record, "splits": 3}), "record.json is damaged"),
        (
            lambda record: json.dumps({**record, "splits": {"train": {}}}),
            "record.json is damaged .*required .*argument",
        ),
        (lambda record: json.dumps({"schema": 1, "form": "IDX files"}), "record.json is damaged"),
        (lambda record: json.dumps({**record, "schema": 2}), "has the schema 2, not 1"),
    ],
)
def test_a_damaged_record_fails_only_what_needs_the_arrays(mnist: Path, change: Any, words: str):
    whole = prepare("mnist", source=mnist)
    (prepared_dir("mnist") / "record.json").write_text(change(whole.to_json("mnist")))
    info = datasets.get("mnist").info
    assert info.content_hash == "" and info.shape == (28, 28, 1)
    for error in (
        lambda: datasets.get("mnist").load("train"),
        lambda: prepare("mnist", source=mnist),
    ):
        with pytest.raises(DataError, match=rf"{words}.*Delete .*mnist and prepare"):
            error()
    assert re.search(words, str(missing(info, "train")))  # what a run says that needs the data


def test_prepared_data_are_not_prepared_again(mnist: Path):
    first = prepare("mnist", source=mnist)
    assert prepare("mnist") == first
    with pytest.raises(DataError, match="is prepared already, from IDX files"):
        prepare("mnist", source=mnist)


def test_hashes_on_record_are_those_of_the_arrays(mnist: Path):
    prepare("mnist", source=mnist)
    record = json.loads((prepared_dir("mnist") / "record.json").read_text())
    for split, arrays in loaded("mnist").items():
        assert record["splits"][split]["hash"] == hash_arrays(arrays)
        assert datasets.get("mnist").info.split_hashes[split] == hash_arrays(arrays)


def test_data_prepared_again_are_opened_again(mnist: Path, tmp_path: Path, elsewhere: Any):
    """One process may see two preparations: no cache in memory may mix them."""
    view = ImageView(28, 1, 10)
    prepare("mnist", source=mnist)
    before = open_view(datasets.get("mnist"), view, "heldout")
    elsewhere()
    write_mnist(tmp_path / "other", {**MNIST, "test": 255 - MNIST["test"]})
    prepare("mnist", source=tmp_path / "other")
    after = open_view(datasets.get("mnist"), view, "heldout")
    assert after.content_hash != before.content_hash
    images = [np.asarray(source.arrays["image"]) for source in (before, after)]
    np.testing.assert_array_equal(images[1], 255 - images[0])
    assert open_view(datasets.get("mnist"), view, "heldout") is after
