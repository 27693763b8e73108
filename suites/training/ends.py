"""The ends of runs that this process made, on the device, for shards that go on from there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeAlias

import jax

from velodrome.results.store.plan import Run, Shard
from velodrome.suites.training.checkpoint import data_of
from velodrome.suites.training.lane_batch import LaneBatch
from velodrome.suites.training.programs import LaneState

#: What the ends that a process keeps may take, in bytes; those of earlier shards go first.
ENDS_BYTES = 256 * 2**20

#: The shard, and the lanes that a state has, in order. Lanes of one program stay together: they
#: are taken apart in the file of `states`.
_Key: TypeAlias = tuple[str, tuple[Run | None, ...]]


class KeptEnds:
    """States after the last step of shards; each is taken once, because training gives it away."""

    def __init__(self, limit: int = ENDS_BYTES):
        self._limit = limit
        self._states: OrderedDict[_Key, tuple[int, LaneState]] = OrderedDict()

    def keep(self, shard: Shard, lane_batches: Sequence[LaneBatch]) -> None:
        """Keep the states of the lanes of a shard that is done."""
        for batch in lane_batches:
            if batch.state is not None:
                size = sum(data_of(leaf).nbytes for leaf in jax.tree.leaves(batch.state))
                self._states[shard.id, _runs(shard, batch)] = size, batch.state
        while sum(size for size, _ in self._states.values()) > self._limit:
            self._states.popitem(last=False)

    def restore(self, shard: Shard, lane_batches: Sequence[LaneBatch]) -> bool:
        """Put the lanes of a shard into the states that they had at its start.

        Returns:
          Whether all of them are here; else nothing is changed.
        """
        keys = [(shard.after, _runs(shard, batch)) for batch in lane_batches]
        if not all(key in self._states for key in keys):
            return False
        for key, batch in zip(keys, lane_batches, strict=True):
            batch.resume(self._states.pop(key)[1])
        return True


def _runs(shard: Shard, batch: LaneBatch) -> tuple[Run | None, ...]:
    """Return the runs of the lanes of a batch; None for those that only fill up."""
    runs = {lane.lane: lane.run for lane in shard.lanes}
    return tuple(runs.get(number) for number in batch.numbers.tolist())
