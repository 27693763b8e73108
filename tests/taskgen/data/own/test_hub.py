"""Data sets of Hugging Face, by its optional library; here from a folder, without a network."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import velodrome
from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.own.contents import Options
from velodrome.taskgen.data.own.hub import read_hub


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("datasets")


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(velodrome.VelodromeError, match=r"hf:some/thing needs datasets.*huggingfac"):
        velodrome.add_data("thing", "hf:some/thing")


def test_tables_and_text(library, tmp_path: Path):
    table = {"a": [float(i) for i in range(40)], "b": ["u", "v"] * 20, "label": [0, 0, 1, 1] * 10}
    library.Dataset.from_dict(table).to_parquet(tmp_path / "table" / "train-0.parquet")
    found = read_hub(str(tmp_path / "table"), Options())
    assert found.kind == "table" and found.splits["train"]["row"].shape == (32, 3)
    lines = {"text": ["a line of a text"] * 700}
    library.Dataset.from_dict(lines).to_parquet(tmp_path / "text" / "train-0.parquet")
    library.Dataset.from_dict(lines).to_parquet(tmp_path / "text" / "test-0.parquet")
    found = read_hub(str(tmp_path / "text"), Options())
    assert found.kind == "text" and found.notes["split"].startswith("the held-out text comes")
    assert len(found.splits["heldout"]["tokens"]) == 700 * 17 - 1
    with pytest.raises(DataError, match="--regression is for tables only"):
        read_hub(str(tmp_path / "text"), Options(regression=True))
    with pytest.raises(DataError, match="--size is for images only"):
        read_hub(str(tmp_path / "table"), Options(size=8))


def test_images(library, tmp_path: Path):
    for part, count in (("train", 10), ("test", 3)):
        for at in range(count):
            for name in ("cat", "dog"):
                file = tmp_path / "pets" / part / name / f"{at}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((5, 6, 3), at, np.uint8)).save(file)
    found = read_hub(str(tmp_path / "pets"), Options())
    assert found.class_names == ("cat", "dog")
    assert found.splits["train"]["image"].shape == (20, 5, 6, 3)
    assert found.splits["heldout"]["label"].tolist() == [0, 0, 0, 1, 1, 1]
    assert read_hub(str(tmp_path / "pets"), Options(size=4)).splits["train"]["image"].shape[1] == 4


def test_data_that_cannot_be_loaded(library, tmp_path: Path):
    with pytest.raises(DataError, match=r"^hf:.*nothing cannot be loaded: "):
        read_hub(str(tmp_path / "nothing"), Options())


def test_labels_that_are_kept_secret_are_no_class(library, tmp_path: Path):
    features = library.Features(
        {"image": library.Image(), "label": library.ClassLabel(names=["cat", "dog"])}
    )
    picture = Image.fromarray(np.zeros((4, 4, 3), np.uint8))
    for part, labels in (("train", [0, 1] * 6), ("test", [-1, -1])):
        rows = {"image": [picture] * len(labels), "label": labels}
        made = library.Dataset.from_dict(rows, features=features)
        made.to_parquet(tmp_path / "pets" / f"{part}-0.parquet")
    with pytest.raises(DataError, match=r"image 0 of hf:.*pets has the label -1, which is none"):
        read_hub(str(tmp_path / "pets"), Options())
