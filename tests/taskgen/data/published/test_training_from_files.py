"""From the files of published data sets, through their preparation, to curves of training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tinydata
from tinydata import COUNTS, random_images, shrink

from velodrome.suites.protocol import Protocol
from velodrome.suites.running.run import run
from velodrome.suites.suite import Suite
from velodrome.taskgen.data.published.prepare import prepare
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

pytestmark = pytest.mark.usefixtures("own_cache")

PROTOCOL = Protocol(
    steps=8, seeds=1, baseline_multiple=1, eval_every=4, heldout_every=8, eval_examples=4
)


def cifar10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The binary version, packed."""
    shrink(monkeypatch, "cifar10", counts={"train": 25, "test": 6})
    records = tinydata.cifar_records(random_images(31, 32, 3), np.arange(31) % 10)
    size = len(records) // 31
    files = {f"data_batch_{n + 1}.bin": records[5 * n * size :][: 5 * size] for n in range(5)}
    files["test_batch.bin"] = records[25 * size :]
    packed = {f"cifar-10-batches-bin/{name}": content for name, content in files.items()}
    tinydata.write_tar(folder / "cifar-10-binary.tar.gz", packed)


def mnist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ArrayRecord, written by tensorflow-datasets."""
    shrink(monkeypatch, "mnist", counts=COUNTS)
    tinydata.tfds_mnist(folder)


def food101_64(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JPEG of many sizes, which become float32."""
    shrink(monkeypatch, "food101_64", **tinydata.FOOD101)
    tinydata.write_food101(folder / "food-101")


@pytest.mark.parametrize(
    "write", [cifar10, pytest.param(mnist, marks=pytest.mark.long), food101_64]
)
def test_training_from_the_original_files(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    name, folder = write.__name__, tmp_path / "files"
    folder.mkdir()
    # The process has one cache of compiled programs, but each test has another data cache.
    monkeypatch.setenv("VELODROME_COMPILATION_CACHE", "off")
    write(folder, monkeypatch)
    prepare(name, source=folder)
    task = TaskSpec("mlp", {"hidden_size": 8, "image_size": 8}, DataSpec(name), batch_size=4)
    result = run(
        Suite("mine", (task,), PROTOCOL, ("adam",)),
        tmp_path / "store",
        learning_rates=[1e-2],
        workers=0,
        timing=False,
        progress="silent",
    )
    assert not result.failed
    (shard,) = (tmp_path / "store" / "shards").glob("*.parquet")
    curves = pd.read_parquet(shard)
    of_loss = curves[(curves["metric"] == "loss") & (curves["split"] == "train")]
    steps, losses = np.asarray(of_loss["step"]), np.asarray(of_loss["value"])
    assert steps.tolist() == [0, 4, 8]
    assert np.isfinite(np.asarray(curves["value"])).all() and len(set(losses)) == 3
    # Pixels are scaled to [0, 1]: a network that has learnt nothing guesses about evenly.
    assert losses[0] == pytest.approx(np.log(datasets.get(name).info.num_classes), abs=1)
    data = json.loads(pq.read_schema(shard).metadata[b"velodrome"])["data"]
    assert (data["name"], data["provenance"]) == (name, "real")
    assert data["content_hash"] == datasets.get(name).info.content_hash
