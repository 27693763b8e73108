"""Packed pairs: which share a row, what is in a row, and that an epoch has each pair once."""

from __future__ import annotations

import numpy as np
import pytest

from velodrome.taskgen.data import resident
from velodrome.taskgen.data.info import Dataset, DatasetInfo, kind_of
from velodrome.taskgen.data.kinds import pairs as kind
from velodrome.taskgen.data.packing import first_of_rows
from velodrome.taskgen.data.ragged import offsets_of
from velodrome.taskgen.data.source import Source, open_view
from velodrome.taskgen.views import PackedPairView

VIEW = PackedPairView(12, 10, 100)


def sides(count: int) -> dict[str, list[np.ndarray]]:
    """Sequences of 1 to 14 tokens, each of which names its pair."""
    generator = np.random.default_rng(0)
    return {
        name: [
            np.full(int(size), 1 + number, np.uint8)
            for number, size in enumerate(generator.integers(1, most + 1, count))
        ]
        for name, most in (("source", 14), ("target", 9))
    }


def dataset(found: dict[str, list[np.ndarray]]) -> Dataset:
    arrays = {}
    for name, rows in found.items():
        arrays |= {name: np.concatenate(rows), f"{name}_offsets": offsets_of(map(len, rows))}
    info = DatasetInfo(
        name="toy", kind="pair", licence="", origin="", provenance="stand-in", vocab_size=100
    )
    return Dataset(info, lambda split: arrays)


def unpacked(batch: dict[str, np.ndarray]) -> list[tuple[int, list[int], list[int]]]:
    """Return (row, source, target) of each pair of a batch."""
    made = []
    for row in range(len(batch["source"])):
        here = {name: np.asarray(array[row]) for name, array in batch.items()}
        assert here["source_segment"].max() == here["target_segment"].max()
        for number in range(1, int(here["source_segment"].max()) + 1):
            places = [here[f"{name}_segment"] == number for name in ("source", "target")]
            assert all((np.diff(np.flatnonzero(place)) == 1).all() for place in places)
            source, target = (
                here[name][place].tolist()
                for name, place in zip(("source", "target"), places, strict=True)
            )
            made.append((row, source, target))
        for name in ("source", "target"):
            assert ((here[f"{name}_segment"] == 0) == (here[name] == 0)).all()
    return made


def epoch(source: Source, seed: int) -> list[tuple[int, list[int], list[int]]]:
    rows = source.indices(seed, 0, 1, source.size)[0]
    arrays, places = source.block(rows)
    batch = source.gather(arrays, places, None, augment=False)
    assert {name: (a.shape[1:], str(a.dtype)) for name, a in batch.items()} == {
        name: (field.shape, field.dtype) for name, field in VIEW.schema().items()
    }
    return unpacked({name: np.asarray(array) for name, array in batch.items()})


@pytest.mark.parametrize("limit", ["1000000000", "0"], ids=["resident", "streamed"])
def test_an_epoch_has_every_pair_that_fits_once(limit: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(resident.VARIABLE, limit)
    monkeypatch.setattr(kind, "_CHUNK", 7)  # rows are made in several pieces
    found = sides(60)
    pairs = [
        (source.tolist(), target.tolist())
        for source, target in zip(*found.values(), strict=True)
        if len(source) <= 12
    ]
    assert 40 < len(pairs) < 60
    train, heldout = (open_view(dataset(found), VIEW, split) for split in ("train", "heldout"))
    packed, alone = epoch(train, 3), epoch(heldout, 3)
    for each in (packed, alone):
        assert sorted((source, target) for _, source, target in each) == sorted(pairs)
    assert heldout.size == len(pairs) and train.size < 0.9 * len(pairs)
    assert {row for row, *_ in alone} == set(range(len(pairs)))  # one in each row
    assert train.content_hash != heldout.content_hash
    # Greedy, in order: the pairs of a row follow one another, and the next would not have fitted.
    in_order = train.block(np.arange(train.size, dtype=np.int32))
    batch = train.gather(*in_order, None, augment=False)
    listed = unpacked({name: np.asarray(array) for name, array in batch.items()})
    assert [(source, target) for _, source, target in listed] == pairs
    for row in range(train.size - 1):
        mine = [pair for at, *pair in listed if at == row]
        following = next(pair for at, *pair in listed if at == row + 1)
        together = [sum(len(pair[side]) for pair in [*mine, following]) for side in (0, 1)]
        assert together[0] > 12 or together[1] > 10
        assert sum(len(pair[0]) for pair in mine) <= 12


def test_rows_of_sizes_that_are_easy_to_follow():
    sizes = [np.array([3, 3, 5, 1, 1]), np.array([1, 1, 1, 4, 1])]
    assert first_of_rows(sizes, [6, 5]).tolist() == [0, 2, 4, 5]
    assert first_of_rows([np.array([], int)], [6]).tolist() == [0]


def test_the_memory_of_the_arrays():
    source = open_view(dataset(sides(60)), VIEW, "train")
    held = source.view.whole()
    assert source.view.nbytes == sum(array.nbytes for array in held.values())
    info = source.info
    assert kind_of("pair").count(info, VIEW, "train") is None
