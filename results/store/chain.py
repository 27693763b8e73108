"""A run is a chain of segments, each from one shard: the chain that answers a question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from velodrome.results.store.plan import LaneInfo, Run
from velodrome.results.store.shard import ShardRecord


@dataclass(frozen=True)
class Segment:
    """A part of a run: a lane of a shard."""

    shard: ShardRecord
    lane: LaneInfo


@dataclass(frozen=True)
class Chain:
    """Segments of a run, each of which goes on from the end of the one before.

    Attributes:
      reached: Updates up to which the run is there. One that diverged is there for any number.
    """

    segments: tuple[Segment, ...] = ()
    reached: int = 0


NOTHING = Chain()


def segments(shards: Iterable[ShardRecord]) -> dict[Run, list[Segment]]:
    """Return the segments of each run of a cell, from its shards."""
    found: dict[Run, list[Segment]] = {}
    for shard in shards:
        for lane in shard.lanes:
            found.setdefault(lane.run, []).append(Segment(shard, lane))
    return found


def chain(of_run: Sequence[Segment], until: int, *, heldout_every: int = 0) -> Chain:
    """Return the chain that comes closest to ``until`` updates, without passing it.

    A longer segment serves up to ``until`` if the held-out split was evaluated there: it is every
    ``heldout_every`` updates, and after the last one (0: whether it was is not asked).
    """
    return longest(chains(of_run, until, heldout_every=heldout_every))


def longest(found: Iterable[Chain]) -> Chain:
    """Return the chain that reaches furthest, with the fewest segments; or an empty one."""
    return max(found, key=lambda one: (one.reached, -len(one.segments)), default=NOTHING)


def chains(
    of_run: Sequence[Segment],
    until: int,
    *,
    heldout_every: int = 0,
    before: Chain = NOTHING,
) -> Iterator[Chain]:
    """Yield all chains that go on from the one ``before`` and do not pass ``until`` updates."""
    begin = before.reached
    after = before.segments[-1].shard.id if before.segments else ""
    for segment in sorted(of_run, key=lambda one: one.shard.id):
        shard, diverged = segment.shard, segment.lane.diverged_at
        if shard.begin != begin or (begin and shard.after != after):
            continue
        if diverged is not None and diverged == until < shard.stop:
            continue  # in the evaluation there, or in the next update, which `until` has not
        whole = shard.stop <= until or heldout_every == 0 or until % heldout_every == 0
        if diverged is not None and diverged <= until or shard.stop >= until and whole:
            yield Chain((*before.segments, segment), until)
        elif begin < shard.stop <= until:
            found = Chain((*before.segments, segment), shard.stop)
            yield found
            yield from chains(of_run, until, heldout_every=heldout_every, before=found)
