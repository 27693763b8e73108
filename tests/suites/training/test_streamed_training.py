"""Training on prepared published data, and on data that are streamed."""

from __future__ import annotations

import dataclasses
import gzip
import json
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from velodrome.foundation.errors import DataError, StoreError
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.run import run
from velodrome.suites.suite import Suite
from velodrome.suites.training.taskdata import Prefetch
from velodrome.taskgen.data import resident
from velodrome.taskgen.data.published import recipes
from velodrome.taskgen.data.published.prepare import prepare
from velodrome.taskgen.data.published.readers.lm1b import FOLDERS
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

PROTOCOL = Protocol(
    steps=20, seeds=2, baseline_multiple=1, eval_every=5, eval_examples=16, heldout_every=10
)
MLP = TaskSpec("mlp", {"hidden_size": 8, "image_size": 6}, DataSpec("digits", shift=1), 16)
RNN = {"rnn_size": 8, "embed_size": 8, "sequence_length": 6, "vocab_size": 259}


def curves(suite: Suite, out: Path) -> pd.DataFrame:
    result = run(suite, out, learning_rates=[1e-2], workers=0, timing=False, progress="silent")
    assert not result.failed
    parts = [pd.read_parquet(path) for path in sorted((out / "shards").glob("*.parquet"))]
    return pd.concat(parts, ignore_index=True)


def test_curves_of_streamed_data_are_bit_for_bit_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    suite = Suite("mine", (MLP,), PROTOCOL, ("adam",))
    whole = curves(suite, tmp_path / "whole")
    monkeypatch.setenv(resident.VARIABLE, "0")
    streamed = curves(suite, tmp_path / "streamed")
    pd.testing.assert_frame_equal(whole, streamed, check_exact=True)
    assert len(whole) > 0


def test_blocks_are_fetched_ahead_once_each():
    fetched: list[tuple[int, ...]] = []
    threads: set[str] = set()

    def fetch(indices: np.ndarray) -> tuple[int, ...]:
        threads.add(threading.current_thread().name)
        fetched.append(tuple(indices.tolist()))
        return fetched[-1]

    prefetch = Prefetch(fetch)
    rows = [np.arange(3) + 3 * number for number in range(3)]
    assert prefetch.take((7, 0), rows[0]) == (0, 1, 2)
    prefetch.begin((7, 1), rows[1])
    assert prefetch.take((7, 1), rows[1]) == (3, 4, 5)
    assert fetched == [(0, 1, 2), (3, 4, 5)] and len(threads) == 2
    prefetch.begin((7, 2), rows[0])
    assert prefetch.take((7, 2), rows[2]) == (6, 7, 8)  # other examples than foreseen
    prefetch.begin((7, 3), rows[1])
    assert prefetch.take((8, 3), rows[1]) == (3, 4, 5)  # another seed

    def fail(indices: np.ndarray) -> None:
        raise DataError("the disk is gone")

    broken = Prefetch(fail)
    broken.begin((0, 0), rows[0])
    with pytest.raises(DataError, match="the disk is gone"):
        broken.take((0, 0), rows[0])


def write_mnist(folder: Path) -> None:
    """Digits of scikit-learn in the files of MNIST: the format is true, and they can be learnt."""
    raw = datasets.get("digits").load("train")
    image = np.kron(raw["image"][:200, ..., 0], np.ones((3, 3), np.uint8))
    image = np.pad(image, ((0, 0), (2, 2), (2, 2)))
    folder.mkdir()
    for split, some in (("train", slice(0, 150)), ("t10k", slice(150, 200))):
        for kind, array in (("images-idx3", image[some]), ("labels-idx1", raw["label"][some])):
            array = array.astype(np.uint8)
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            path = folder / f"{split}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(header + array.tobytes()))


def write_lm1b(folder: Path) -> None:
    for name, pattern in FOLDERS.values():
        (folder / name).mkdir(parents=True)
        lines = [f"the cat number {at} sat on the mat ." for at in range(60)]
        (folder / name / pattern.replace("*", "0")).write_text("\n".join(lines) + "\n")


def test_training_on_published_data_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """From the original files, through the preparation, to curves of real data."""
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "cache"))
    small = recipes.RECIPES["mnist"]
    counts = {"train": 150, "test": 50}
    monkeypatch.setitem(
        recipes.RECIPES,  # type: ignore[arg-type] - typed as a Mapping, but it is a dict
        "mnist",
        type(small)(small.tfds, small.parts, counts, small.files, small.layout),
    )
    text = dataclasses.replace(recipes.RECIPES["lm1b_bytes"], counts={"train": 60, "test": 60})
    monkeypatch.setitem(recipes.RECIPES, "lm1b_bytes", text)  # type: ignore[arg-type] - typed as a Mapping, but it is a dict
    tasks = (
        TaskSpec("mlp", {"hidden_size": 8, "image_size": 8}, DataSpec("mnist"), 16),
        TaskSpec("rnn", RNN, DataSpec("lm1b_bytes"), 8),
    )
    suite = Suite("mine", tasks, PROTOCOL, ("adam",))
    with pytest.raises(DataError, match="velodrome data prepare mnist"):
        curves(suite, tmp_path / "none")
    write_mnist(tmp_path / "idx")
    write_lm1b(tmp_path / "lm1b")
    prepare("mnist", source=tmp_path / "idx")
    prepare("lm1b_bytes", source=tmp_path / "lm1b")
    found = curves(suite, tmp_path / "store")
    loss = found[(found["metric"] == "loss") & (found["split"] == "train")]
    for _, lane in loss.groupby([(loss["step"] == 0).cumsum()]):
        values = list(lane["value"])
        assert values[-1] < values[0]
    recorded = {}
    for path in (tmp_path / "store" / "shards").glob("*.parquet"):
        data = json.loads(pq.read_schema(path).metadata[b"velodrome"])["data"]
        recorded[data["name"]] = data["provenance"], data["content_hash"]
    assert recorded == {
        name: ("real", datasets.get(name).info.content_hash) for name in ("mnist", "lm1b_bytes")
    }
    # Other bytes under the same name are other cells: the store does not take them.
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "other"))
    (tmp_path / "idx" / "t10k-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 50]) + bytes(50))
    )
    prepare("mnist", source=tmp_path / "idx")
    prepare("lm1b_bytes", source=tmp_path / "lm1b")
    with pytest.raises(StoreError, match="the data set mnist"):
        curves(suite, tmp_path / "store")
