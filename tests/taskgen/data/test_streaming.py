"""Splits that do not fit on the device: the same batches, bit for bit, in blocks."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data import resident
from velodrome.taskgen.data.info import Dataset, DatasetInfo
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.resident import ByteCache, predicted_bytes, resident_limit
from velodrome.taskgen.data.source import open_view
from velodrome.taskgen.data.text import example_rows
from velodrome.taskgen.data.variation import NONE, Variation
from velodrome.taskgen.views import ImageView, TableView, TextView


def texts(count: int = 40, *, example_tokens: int = 0) -> Dataset:
    """Texts of 0, 1, 2, ... tokens; the tokens of text i are i + 1."""
    lengths = np.arange(count) % 9
    arrays = {
        "tokens": np.repeat(np.arange(count) + 1, lengths).astype(np.uint16),
        "offsets": np.concatenate([[0], np.cumsum(lengths)]),
    }
    info = DatasetInfo(
        name="texts",
        kind="text",
        licence="none",
        origin="a test",
        provenance="stand-in",
        vocab_size=100,
        layout="examples",
        example_tokens=example_tokens,
    )
    return Dataset(info, lambda split: arrays)


VIEWS = {
    "bytes of images": ("digits", ImageView(8, 1, 10), NONE),
    "resized images": ("digits", ImageView(5, 1, 10), NONE),
    "shifted images": ("digits", ImageView(8, 1, 10), Variation(shift=2, flip=True)),
    "distorted parts": ("photos", ImageView(9, 1, 13), Variation(crop=0.5, randaugment=1)),
    "grey images": ("photos", ImageView(8, 1, 13), NONE),
    "rows": ("breast_cancer", TableView(30, 2), NONE),
    "windows of text": ("kjv", TextView(20, 256), NONE),
    "folded text": ("kjv", TextView(20, 50), NONE),
    "texts": ("texts", TextView(6, 100), NONE),
    "folded texts": ("texts", TextView(3, 10), NONE),
}


@pytest.mark.parametrize("name", VIEWS)
def test_streamed_batches_are_those_of_a_resident_split(
    name: str, monkeypatch: pytest.MonkeyPatch, key: jax.Array
):
    data, view, options = VIEWS[name]
    dataset = texts() if data == "texts" else datasets.get(data)
    sources = []
    for limit in ("1000000000", "0"):
        monkeypatch.setenv(resident.VARIABLE, limit)
        sources.append(open_view(dataset, view, "heldout", options))
    whole, streamed = sources
    assert whole.resident and not streamed.resident
    assert whole.content_hash == streamed.content_hash and whole.size == streamed.size
    rows = whole.indices(3, 0, 4, 7)
    np.testing.assert_array_equal(rows, streamed.indices(3, 0, 4, 7))
    gather = jax.jit(
        lambda arrays, at, key: jax.vmap(
            lambda at, key: whole.gather(arrays, at, key, augment=True)
        )(at, jax.random.split(key, 4))
    )
    expected, found = gather(*whole.block(rows), key), gather(*streamed.block(rows), key)
    for part in expected:
        assert expected[part].dtype == found[part].dtype
        np.testing.assert_array_equal(expected[part], found[part])
    if name in ("bytes of images", "windows of text", "texts"):
        for step in (0, 3):
            one, two = whole.batch(3, step, 7), streamed.batch(3, step, 7)
            jax.tree.map(np.testing.assert_array_equal, one, two)
    with pytest.raises(DataError, match=r"the limit of \d+ B for.*VELODROME_RESIDENT_BYTES"):
        _ = streamed.arrays


def test_texts_give_their_first_tokens_or_are_padded():
    raw = texts().load("train")
    rows = example_rows(raw, None, length=4, vocab_size=100)["rows"]
    assert rows.shape == (40, 5) and rows.dtype == np.uint16
    assert rows[0].tolist() == [0, 0, 0, 0, 0]  # an empty text
    assert rows[2].tolist() == [3, 3, 0, 0, 0]
    assert rows[8].tolist() == [9, 9, 9, 9, 9]  # of eight tokens the first five
    chosen = example_rows(raw, np.array([8, 2, 2]), length=4, vocab_size=5)["rows"]
    assert chosen.tolist() == [[2] * 5, [3, 3, 0, 0, 0], [3, 3, 0, 0, 0]]  # 9 -> 1 + 9 mod 4
    source = open_view(texts(), TextView(4, 100), "train")
    batch = source.gather(*source.block(np.array([2, 8], np.int32)), None, augment=False)
    assert batch["obs"].tolist() == [[3, 3, 0, 0], [9, 9, 9, 9]]
    assert batch["target"].tolist() == [[3, 0, 0, 0], [9, 9, 9, 9]]
    empty = {"tokens": np.zeros(0, np.uint8), "offsets": np.zeros(3, np.int64)}
    assert example_rows(empty, None, length=2, vocab_size=9)["rows"].tolist() == [[0] * 3] * 2


def test_sequences_longer_than_what_is_kept_are_refused():
    assert open_view(texts(example_tokens=9), TextView(8, 100), "train").size == 40
    with pytest.raises(
        DataError, match="first 9 tokens are kept of each .* not enough for a sequence of 9"
    ):
        open_view(texts(example_tokens=9), TextView(9, 100), "train")


def test_the_limit(monkeypatch: pytest.MonkeyPatch):
    import psutil

    monkeypatch.delenv(resident.VARIABLE, raising=False)
    assert resident_limit() == psutil.virtual_memory().total // 8  # of the computer: a CPU
    monkeypatch.setenv(resident.VARIABLE, "12")
    assert resident_limit() == 12
    monkeypatch.setenv(resident.VARIABLE, "2 GB")
    with pytest.raises(DataError, match="VELODROME_RESIDENT_BYTES is '2 GB'; set it to a number"):
        resident_limit()


def test_the_cache_keeps_what_fits():
    made: list[str] = []
    cache = ByteCache(lambda: 10, entries=3)

    def get(key: str, size: int) -> str:
        def make() -> tuple[str, int]:
            made.append(key)
            return key.upper(), size

        return cache.get(key, make)

    assert [get("a", 4), get("b", 4), get("a", 4)] == ["A", "B", "A"]
    assert made == ["a", "b"]
    get("c", 4)  # 12 bytes: the one not used for longest, b, goes
    assert [get("a", 4), get("b", 4)] == ["A", "B"]
    assert made == ["a", "b", "c", "b"]
    get("huge", 100)  # kept, alone
    get("huge", 100)
    assert made == ["a", "b", "c", "b", "huge"]
    for key in "pqrs":
        get(key, 0)
    get("p", 0)  # four are one too many
    assert made[5:] == ["p", "q", "r", "s", "p"]


@pytest.mark.parametrize("name", VIEWS)
def test_bytes_are_predicted(name: str, monkeypatch: pytest.MonkeyPatch):
    data, view, options = VIEWS[name]
    monkeypatch.setenv(resident.VARIABLE, "0")
    dataset = texts() if data == "texts" else datasets.get(data)
    sources = [open_view(dataset, view, split, options) for split in ("train", "heldout")]
    exact = sum(source.view.nbytes for source in sources)
    found = predicted_bytes(dataset.info, view, options)
    if data == "texts":
        assert found == 0  # its sizes are not known
    else:
        assert 0.9 * exact < found <= exact
