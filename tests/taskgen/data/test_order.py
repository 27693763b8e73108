"""The order of examples depends on seed and step alone."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.order import epoch_indices, permutation

GOLDEN_TEN = [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]
GOLDEN_HASH = "0e8b0eeff08f6ca43861fa1bff17edb472c44f308b40c83c474302b00bc29948"


def take(size: int, start: int, count: int, batch: int, seed: int = 7) -> np.ndarray:
    return epoch_indices(size, seed, start, count, batch, what="the split")


def test_golden_order():
    """Every machine and version gives this order: its publication defines Philox's words."""
    assert permutation(10, 0, 0).tolist() == GOLDEN_TEN
    digest = hashlib.sha256(permutation(5000, 2**64 - 1, 3).astype("<i4").tobytes()).hexdigest()
    assert digest == GOLDEN_HASH


@settings(deadline=None)
@given(
    size=st.integers(1, 60),
    batch=st.integers(1, 60),
    chunks=st.lists(st.integers(0, 9), max_size=6),
    start=st.integers(0, 50),
)
def test_any_way_of_asking_gives_the_same(size: int, batch: int, chunks: list[int], start: int):
    batch = min(batch, size)
    whole = take(size, start, sum(chunks), batch)
    assert whole.dtype == np.int32 and whole.shape == (sum(chunks), batch)
    parts, at = [], start
    for chunk in chunks:
        parts.append(take(size, at, chunk, batch))
        at += chunk
    np.testing.assert_array_equal(np.concatenate([whole[:0], *parts]), whole)
    for step in reversed(range(len(whole))):
        np.testing.assert_array_equal(take(size, start + step, 1, batch)[0], whole[step])


def test_every_epoch_visits_each_example_once_and_drops_the_rest():
    size, batch = 53, 10
    epochs = take(size, 0, 4 * 5, batch).reshape(4, -1)
    for epoch in epochs:
        assert len(set(epoch)) == 50 and epoch.min() >= 0 and epoch.max() < size
    assert len({tuple(epoch) for epoch in epochs}) == 4
    dropped = [set(range(size)) - set(epoch) for epoch in epochs]
    assert not set.intersection(*dropped), "no example may be dropped for good"
    whole = take(50, 0, 5, batch)
    assert sorted(whole.reshape(-1)) == list(range(50))


def test_seeds_differ():
    assert (take(1000, 0, 1, 100, seed=1) != take(1000, 0, 1, 100, seed=2)).mean() > 0.9


def test_orders_are_uniform():
    """Every example is equally often first; chi-squared with 9 degrees of freedom."""
    first = np.array([permutation(10, 3, stream)[0] for stream in range(5000)])
    counts = np.bincount(first, minlength=10)
    assert ((counts - 500) ** 2 / 500).sum() < 27.9  # the 99.9% quantile; the draw is fixed


def test_messages():
    with pytest.raises(DataError, match="batch of 11 is larger than the split, which has 10 exam"):
        take(10, 0, 1, 11)
    for wrong in ({"start": -1}, {"count": -1}, {"batch": 0}, {"seed": -1}):
        with pytest.raises(DataError, match="no batches for"):
            take(**({"size": 10, "start": 0, "count": 1, "batch": 1} | wrong))
