"""Examples of different sizes in batches with limited room: none is left out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import velodrome
from velodrome.foundation.errors import DataError, SpecError
from velodrome.suites.protocol import Protocol
from velodrome.suites.training.taskdata import TaskData
from velodrome.taskgen.data import resident
from velodrome.taskgen.data.order import epoch_order
from velodrome.taskgen.data.packedorder import PackedOrder, in_parts
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

PACKED = {"packed_graphs": 4, "packed_nodes": 7, "packed_edges": 24}
SMALL = {"hidden_size": 6, "latent_size": 4, "rounds": 1}


def order(size: int, places: int, seed: int = 0) -> PackedOrder:
    generator = np.random.default_rng(seed)
    sides = generator.integers(0, 7, size), generator.integers(1, 9, size)
    return PackedOrder(sides, (4 * places + 6, 5 * places + 8), places)


def take(made: PackedOrder, seed: int, start: int, count: int, batch: int) -> np.ndarray:
    return made.indices(seed, start, count, batch, what="the split")


@settings(deadline=None, max_examples=40)
@given(size=st.integers(1, 50), places=st.integers(1, 9), batch=st.integers(1, 50))
def test_batches_are_the_epochs_one_after_the_other(size: int, places: int, batch: int):
    """Each pack is full: what begins the next one does not fit, or has no place."""
    batch, made = min(batch, size), order(size, places)
    count = 3 * size // batch + 2
    found = take(made, 5, 0, count, batch)
    real = found[found < size]
    epochs = -(-len(real) // size)
    stream = np.concatenate([epoch_order(size, 5, epoch) for epoch in range(epochs)])
    np.testing.assert_array_equal(real, stream[: len(real)])
    for epoch in range(len(real) // size):
        assert sorted(real[epoch * size : (epoch + 1) * size]) == list(range(size))

    packs = [row[at : at + places] for row in found for at in range(0, batch, places)]
    for pack, following in itertools.pairwise(packs):
        chosen = pack[pack < size]
        assert len(chosen) and np.all(pack[len(chosen) :] == size)
        for side, room in zip(made.sizes, made.room, strict=True):
            assert side[chosen].sum() <= room
        if len(chosen) < len(pack):
            longer = [*chosen, following[0]]
            overs = zip(made.sizes, made.room, strict=True)
            assert any(side[longer].sum() > room for side, room in overs)


@settings(deadline=None, max_examples=20)
@given(chunks=st.lists(st.integers(0, 9), max_size=5), start=st.integers(0, 60))
def test_any_way_of_asking_gives_the_same(chunks: list[int], start: int):
    """So does asking late first, as a run does that goes on after an interruption."""
    whole = take(order(23, 4), 7, start, sum(chunks), 10)
    made, at, parts = order(23, 4), start, []
    for chunk in chunks:
        parts.append(take(made, 7, at, chunk, 10))
        at += chunk
    np.testing.assert_array_equal(np.concatenate([whole[:0], *parts]), whole)
    np.testing.assert_array_equal(take(made, 7, 0, at, 10)[start:], whole)


def test_seeds_differ_and_bad_batches_are_refused():
    made = order(23, 4)
    assert take(made, 1, 0, 4, 8).tolist() != take(made, 2, 0, 4, 8).tolist()
    with pytest.raises(DataError, match="larger than the split, which has 23 examples"):
        take(made, 0, 0, 1, 24)


def test_parts_of_a_batch_have_whole_packs():
    """Parts are every so-manieth example, see `velodrome.taskgen.accumulation`."""
    found = take(order(40, 4), 0, 0, 3, 16)
    moved = in_parts(found, 8)
    for row, other in zip(found, moved, strict=True):
        assert [other[part::2].tolist() for part in (0, 1)] == row.reshape(2, 8).tolist()
    assert in_parts(found, 16) is not None and np.array_equal(in_parts(found, 16), found)
    assert in_parts(found, 5) is found


@pytest.mark.parametrize("limit", ["1000000000", "0"], ids=["resident", "streamed"])
def test_an_epoch_of_a_run_has_every_graph_once(limit: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(resident.VARIABLE, limit)
    spec = TaskSpec("gnn", SMALL | PACKED, DataSpec("networkx_atlas"), 8)
    data = TaskData(spec, Protocol(steps=10))
    known = velodrome.datasets.get("networkx_atlas").load("train")
    sizes = [np.diff(known[f"{what}_offsets"]) for what in ("node", "edge")]
    wanted = sorted(zip(*sizes, map(tuple, known["label"]), strict=True))

    start = data.training_block(3, 0, 90, 180)
    rest = TaskData(spec, Protocol(steps=10)).training_block(3, 90, 90, 180)  # goes on elsewhere
    found = []
    for block in (start, rest):
        batch = {name: np.asarray(array) for name, array in block.items()}
        nodes, edges = (batch[f"{what}_mask"].sum(-1).astype(int) for what in ("node", "edge"))
        # The empty graph of the atlas has answers; nothing has none.
        for at in np.argwhere(batch["weight"].any(-1)):
            step = tuple(at)
            found.append((nodes[step], edges[step], tuple(batch["label"][step])))
        for sums, room in ((nodes, 7), (edges, 24)):
            assert sums.reshape(90, 2, 4).sum(-1).max() <= 4 * room
    assert 1003 < len(found) < 180 * 8 and sorted(found[:1003]) == wanted


@pytest.mark.parametrize("packed", [{}, PACKED], ids=["padded", "packed"])
@pytest.mark.parametrize("count", [13, 10_000])
def test_the_first_examples_of_an_epoch_come_once_in_batches(packed: dict, count: int):
    spec = TaskSpec("gnn", SMALL | packed, DataSpec("networkx_atlas"), 8)
    source = velodrome.open_source(spec, "heldout")
    rows, counted = source.first(5, count, 8)
    wanted = epoch_order(source.size, 5, 0)[:count]
    assert rows.shape == counted.shape and rows.shape[1] == 8
    assert rows[counted].tolist() == wanted.tolist()
    # No more batches than are needed, and the last one is filled up.
    assert counted.any(axis=1).all() and not counted[-1].all()
    few, all_count = source.first(5, 3, 8)
    assert few[all_count].tolist() == wanted[:3].tolist() and few.shape[1] == 3


def test_a_pack_has_room_for_the_largest_graph():
    config = SMALL | PACKED | {"packed_graphs": 1}
    with pytest.raises(SpecError, match=r"packed_edges: got 24.* 42, as a graph may have 42 edges"):
        assert TaskSpec("gnn", config, DataSpec("networkx_atlas"), 8).view  # it is made when asked
    with pytest.raises(SpecError, match=r"packed_graphs: got 3.*divisor of the batch size, 8"):
        TaskSpec("gnn", SMALL | PACKED | {"packed_graphs": 3}, DataSpec("networkx_atlas"), 8)
    with pytest.raises(SpecError, match=r"config\.packed_edges.*more than 0"):
        TaskSpec("gnn", SMALL | PACKED | {"packed_edges": 0}, DataSpec("networkx_atlas"), 8)
