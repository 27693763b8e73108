"""Sources: what tasks see of data sets, purely."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from velodrome.foundation.errors import DataError, SpecError
from velodrome.taskgen.build import open_source
from velodrome.taskgen.data.arrays import hash_arrays
from velodrome.taskgen.data.info import Dataset, DatasetInfo
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.source import open_view
from velodrome.taskgen.data.text import fold
from velodrome.taskgen.data.variation import Variation
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.views import ImageView, TextView


def spec(data: DataSpec | str = "digits", **config) -> TaskSpec:
    data = DataSpec(data) if isinstance(data, str) else data
    return TaskSpec("mlp", config, data, batch_size=16)


def text(length: int, vocab_size: int = 256, split: str = "train"):
    return open_view(datasets.get("kjv"), TextView(length, vocab_size), split)


def test_a_spec_opens_as_its_family_sees_it(key: jax.Array):
    source = open_source(spec(DataSpec("photos", shift=1), image_size=9), "heldout")
    assert source.size == 2600 and source.provenance == "built-in" and source.split == "heldout"
    batch = jax.jit(lambda key: source.batch(0, 2, 16, key=key))(key)
    assert batch["image"].shape == (16, 9, 9, 3) and batch["label"].shape == (16,)
    assert float(batch["image"].min()) >= 0 and float(batch["image"].max()) <= 1
    assert open_source(spec(DataSpec("photos", shift=1), image_size=9), "heldout") is source


def test_batch_is_gather_of_indices():
    source = open_source(spec(DataSpec("digits", shift=1, flip=True)), "train")
    rows = source.indices(5, 0, 200, 16)
    gather = jax.jit(lambda rows, key: source.gather(source.arrays, rows, key, augment=True))
    for step in (0, 79, 80, 199):
        key = jax.random.key(step)
        one, two = source.batch(5, step, 16, key=key), gather(rows[step], key)
        np.testing.assert_array_equal(one["label"], two["label"])
        np.testing.assert_allclose(one["image"], two["image"], rtol=1e-6)
    raw = datasets.get("digits").load("train")
    plain = source.batch(5, 3, 16)
    np.testing.assert_array_equal(plain["label"], raw["label"][rows[3]])
    np.testing.assert_allclose(plain["image"], raw["image"][rows[3]] / np.float32(255), rtol=1e-6)


def test_gather_inside_scan_and_vmap(key: jax.Array):
    source = open_source(spec(DataSpec("mnist5k", shift=2)), "train")
    rows = jnp.asarray(source.indices(1, 0, 6, 4))
    keys = jax.random.split(key, 6)

    def step(carry, at):
        return carry, source.gather(source.arrays, at[0], at[1], augment=True)

    scanned = jax.lax.scan(step, 0, (rows, keys))[1]
    gather = jax.vmap(lambda row, key: source.gather(source.arrays, row, key, augment=True))
    mapped = jax.jit(gather)(rows, keys)
    np.testing.assert_array_equal(scanned["label"], mapped["label"])
    np.testing.assert_allclose(scanned["image"], mapped["image"], rtol=1e-6)


def test_windows_predict_every_token_once():
    tokens = datasets.get("kjv").load("heldout")["tokens"]
    source = text(50, split="heldout")
    assert source.size == (len(tokens) - 1) // 50
    batch = source.gather(source.arrays, np.arange(source.size, dtype=np.int32), None, augment=True)
    assert batch["obs"].dtype == np.int32 and batch["obs"].shape == (source.size, 50)
    np.testing.assert_array_equal(batch["obs"].reshape(-1), tokens[: source.size * 50])
    np.testing.assert_array_equal(batch["target"].reshape(-1), tokens[1 : source.size * 50 + 1])


def test_tokens_fold_into_a_smaller_vocabulary():
    folded = fold(np.arange(256, dtype=np.uint8), 100)
    assert folded.dtype == np.uint8
    # By hand: 99 stays, 100 -> 1 + 100 mod 99 = 2, 198 -> 1, 255 -> 1 + 57.
    assert folded[[0, 99, 100, 198, 255]].tolist() == [0, 99, 2, 1, 58]
    assert folded[1:].min() == 1 and folded.max() == 99
    wide = np.array([0, 32_099], np.uint16)
    assert fold(wide, 10_000).tolist() == [0, 2103]
    assert fold(wide, 32_100) is wide
    source = text(20, vocab_size=100)
    assert int(source.arrays["tokens"].max()) == 99
    assert text(20, vocab_size=5000).arrays["tokens"] is text(20).arrays["tokens"]


def test_content_hashes_differ_by_data_and_view():
    digits, mnist = datasets.get("digits"), datasets.get("mnist5k")
    sources = [
        open_view(digits, ImageView(8, 1, 10), "train"),
        open_view(digits, ImageView(8, 1, 10), "heldout"),
        open_view(digits, ImageView(7, 1, 10), "train"),
        open_view(mnist, ImageView(8, 1, 10), "train"),
        text(20),
        text(21),
        text(20, vocab_size=100),
    ]
    assert len({source.content_hash for source in sources}) == len(sources)
    shifted = open_view(digits, ImageView(8, 1, 10), "train", Variation(shift=1))
    assert shifted.content_hash == sources[0].content_hash  # the shift is in the spec's hash
    cropped = open_view(digits, ImageView(8, 1, 10), "train", Variation(crop=0.5))
    assert cropped.content_hash != sources[0].content_hash  # evaluation sees the middle alone


def test_messages():
    source = open_source(spec(), "heldout")
    with pytest.raises(DataError, match="batch of 513 .* which has 512 examples"):
        source.indices(0, 0, 1, 513)
    with pytest.raises(DataError, match="'train' and 'heldout', not 'test'"):
        open_source(spec(), "test")
    with pytest.raises(DataError, match="trains on data of kind 'image', but 'kjv' is of kind"):
        open_source(spec("kjv"), "train")
    with pytest.raises(SpecError, match=r"data.shift: got 2, .*text"):
        open_view(datasets.get("kjv"), TextView(8, 256), "train", Variation(shift=2))
    with pytest.raises(DataError, match="415862 tokens, not enough for a sequence of 415862"):
        text(415_862, split="heldout")
    with pytest.raises(DataError, match="'train' split of 'cifar10' is not here"):
        open_source(spec("cifar10"), "train")


def mine(label: int, split_hashes: dict[str, str]) -> Dataset:
    info = DatasetInfo(
        name="mine",
        kind="image",
        licence="none",
        origin="a test",
        provenance="stand-in",
        shape=(4, 4, 1),
        num_classes=2,
        split_hashes=split_hashes,
    )
    arrays = {"image": np.ones((6, 4, 4, 1), np.uint8), "label": np.full(6, label, np.int32)}
    return Dataset(info, lambda split: arrays)


def test_a_users_data_set():
    with datasets.temporarily("mine", mine(1, {})):
        source = open_source(spec("mine", image_size=4), "train")
        assert source.size == 6 and source.provenance == "stand-in"
        assert jax.jit(lambda: source.batch(0, 0, 6)["label"])().tolist() == [1] * 6
    recorded = {"train": hash_arrays(mine(1, {}).load("train"))}
    view = ImageView(4, 1, 2)
    assert open_view(mine(1, recorded), view, "train").content_hash == source.content_hash
    with pytest.raises(DataError, match="content hash .* is recorded for it"):
        open_view(mine(0, recorded), view, "train")
