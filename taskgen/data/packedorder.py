"""The order of examples that have different sizes: a batch takes as many as find room in it.

An epoch leaves no example out. Batches have one shape, and are a pure function of seed and step.
"""

from __future__ import annotations

import functools
from array import array
from dataclasses import dataclass

import numpy as np

from velodrome.taskgen.data.order import check_batches, epoch_order
from velodrome.taskgen.data.packing import ends_of_rows


@dataclass(frozen=True, eq=False)
class PackedOrder:
    """Puts examples into packs, which are parts of a batch that have room for so much.

    Epochs follow one another, each in an order of its own. Examples are taken from them in turn:
    one that finds no room in a pack begins the next pack. So a batch may end one epoch and begin
    another, as nothing is left over at the end of an epoch.

    Attributes:
      sizes: i64[N] for each side of the examples, such as their nodes, and their edges.
      room: What a pack has room for on each side; every example fits.
      places: The largest number of examples in a pack.
    """

    sizes: tuple[np.ndarray, ...]
    room: tuple[int, ...]
    places: int

    def indices(
        self, seed: int, start: int, count: int, batch_size: int, *, what: str
    ) -> np.ndarray:
        """Return i32[count, batch_size], the examples of the batches of steps from ``start`` on.

        A batch has packs of ``places`` places, and the last one has what is left of
        ``batch_size``. Places without an example hold N.

        Raises:
          DataError: As `velodrome.taskgen.data.order.epoch_indices` does.
        """
        size = len(self.sizes[0])
        check_batches(size, seed, start, count, batch_size, what)
        walk = _walk(self, seed, batch_size)
        packs = -(-batch_size // self.places)
        bounds = walk.bounds(start * packs, (start + count) * packs)
        result = np.full((count, batch_size), size, np.int32)
        taken = np.diff(bounds)
        # Where each example goes: the first place of its pack, and its number in the pack.
        first = np.arange(count)[:, None] * batch_size + np.arange(packs) * self.places
        number = np.arange(taken.sum()) - np.repeat(np.cumsum(taken) - taken, taken)
        place = np.repeat(first.reshape(-1), taken) + number
        result.reshape(-1)[place] = walk.examples(int(bounds[0]), int(bounds[-1]))
        return result


def in_parts(indices: np.ndarray, size: int) -> np.ndarray:
    """Reorder batches, so that their parts of ``size`` examples are made of whole packs.

    `velodrome.taskgen.accumulation` makes parts of every so-manieth example. Batches that do not
    divide stay as they are: they have no parts.
    """
    count, batch_size = indices.shape
    if batch_size % size:
        return indices
    return indices.reshape(count, -1, size).swapaxes(1, 2).reshape(count, batch_size)


class _Walk:
    """Where the packs of a seed begin, as far as it is known, in the examples of all its epochs."""

    def __init__(self, order: PackedOrder, seed: int, batch_size: int):
        self._order, self._seed, self._size = order, seed, len(order.sizes[0])
        whole, rest = divmod(batch_size, order.places)
        self._places = [order.places] * whole + [rest] * bool(rest)
        self._begins = array("q", [0])
        self._epochs = 0

    def bounds(self, first: int, last: int) -> np.ndarray:
        """Return i64[last-first+1], where packs begin, and where the last one of them ends."""
        while len(self._begins) <= last:
            self._visit()
        return np.array(self._begins[first : last + 1], np.int64)

    def examples(self, begin: int, end: int) -> np.ndarray:
        """Return i32[end-begin], the examples at some places of all epochs."""
        epochs = range(begin // self._size, -(-end // self._size))
        orders = [epoch_order(self._size, self._seed, epoch) for epoch in epochs]
        found = np.concatenate([np.empty(0, np.int32), *orders])
        return found[begin - epochs.start * self._size :][: end - begin]

    def _visit(self) -> None:
        """Add the packs that are full with one more epoch; the next one waits for another."""
        self._epochs += 1
        begin = self._begins[-1]
        waiting = self.examples(begin, self._epochs * self._size)
        order = self._order
        ends = ends_of_rows([side[waiting] for side in order.sizes], order.room).tolist()
        at, number = 0, len(self._begins) - 1
        while at < len(ends):
            at = min(ends[at], at + self._places[number % len(self._places)])
            if at == len(ends):  # with the next epoch it may take more
                break
            number += 1
            self._begins.append(begin + at)


_walk = functools.lru_cache(maxsize=32)(_Walk)
