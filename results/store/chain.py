"""A run is a chain of segments, each from one shard: the chain that answers a question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    return _follow(of_run, "", 0, until, heldout_every)


def _follow(
    of_run: Sequence[Segment], after: str, begin: int, until: int, heldout_every: int
) -> Chain:
    best = Chain(reached=begin)
    for segment in sorted(of_run, key=lambda one: one.shard.id):
        shard, diverged = segment.shard, segment.lane.diverged_at
        if shard.begin != begin or (begin and shard.after != after):
            continue
        whole = shard.stop <= until or heldout_every == 0 or until % heldout_every == 0
        if diverged is not None and diverged <= until or shard.stop >= until and whole:
            found = Chain((segment,), until)
        elif shard.stop > until or shard.stop <= begin:
            continue
        else:
            rest = _follow(of_run, shard.id, shard.stop, until, heldout_every)
            found = Chain((segment, *rest.segments), rest.reached)
        if (found.reached, -len(found.segments)) > (best.reached, -len(best.segments)):
            best = found
    return best
