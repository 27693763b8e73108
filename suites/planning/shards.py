"""Cut the runs that a store lacks into shards."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from velodrome.optimizers.spec import OptimizerSpec
from velodrome.results.store.chain import Segment, chains, longest, segments
from velodrome.results.store.plan import (
    Batching,
    Hyperparameters,
    Lane,
    Plan,
    PlannedCell,
    Run,
    Shard,
    shard_id,
)
from velodrome.results.store.shard import ShardRecord
from velodrome.suites.protocol import Protocol

#: How far each run of a cell is to go, in updates.
Targets = Mapping[Run, int]


def with_shards(
    plan: Plan,
    optimizers: Mapping[str, OptimizerSpec],
    protocol: Protocol,
    *,
    there: Iterable[ShardRecord] = (),
    has_state: Callable[[str], bool] = lambda shard: False,
    targets: Mapping[str, Targets] | None = None,
) -> Plan:
    """Return the plan with the shards that answer it: those that are there, and new ones.

    A run of an extendable cell that is there in part goes on from the last end of a shard that is
    kept; any other run that is not wholly there starts over.

    Args:
      optimizers: By the names that the plan has for them.
      there: The shards of the store.
      has_state: Whether the end of the shard with that id is kept.
      targets: By cell; runs that are left out are not asked for. Default: all runs, to the cell's
        horizon.
    """
    found: dict[str, list[ShardRecord]] = {}
    for record in there:
        found.setdefault(record.cell, []).append(record)
    shards: list[Shard] = []
    for cell in plan.cells:
        wanted = None if targets is None else targets.get(cell.id, {})
        optimizer = optimizers[cell.optimizer.name]
        mine = _of_cell(cell, optimizer, protocol, found.get(cell.id, ()), has_state, wanted)
        place = {lane.run: lane.lane for lane in cell.lanes}
        # In one order, whatever of it is there already.
        shards += sorted(mine, key=lambda one, at=place: (one.start, _first(one, at), one.id))
    return dataclasses.replace(plan, shards=tuple(shards))


def _first(shard: Shard, place: Mapping[Run, int]) -> int:
    return min(place.get(lane.run, len(place)) for lane in shard.lanes)


def _of_cell(
    cell: PlannedCell,
    optimizer: OptimizerSpec,
    protocol: Protocol,
    there: Sequence[ShardRecord],
    has_state: Callable[[str], bool],
    targets: Targets | None,
) -> Iterator[Shard]:
    of_run = segments(there)
    used: dict[str, ShardRecord] = {}
    lacking: dict[int, list[Lane]] = {}
    going_on: dict[tuple[str, int], list[tuple[int, Lane, Segment]]] = {}
    for lane in cell.lanes:
        until = cell.horizon if targets is None else targets.get(lane.run, 0)
        if until == 0:
            continue
        found = [*chains(of_run.get(lane.run, ()), until, heldout_every=protocol.heldout_every)]
        known = longest(found)
        if known.reached < until:
            kept = [one for one in found if has_state(one.segments[-1].shard.id)]
            known = longest(kept if cell.extendable else ())
        used |= {segment.shard.id: segment.shard for segment in known.segments}
        if not known.segments:
            lacking.setdefault(until, []).append(lane)
        elif known.reached < until:
            last = known.segments[-1]
            place = last.shard.metadata["lanes"].index(last.lane)
            going_on.setdefault((last.shard.id, until), []).append((place, lane, last))
    yield from (_as_planned(record) for record in used.values())
    for until, lanes in lacking.items():
        for group in _groups(lanes, optimizer, cell.batching):
            yield _shard(cell.id, cell.batching, group, until)
    for (_, until), continued in going_on.items():
        # In the order in which they began: lanes of one program stay together.
        continued.sort(key=lambda one: one[0])
        said = continued[0][2].shard
        how = Batching(
            said.metadata.get("mode", ""), 1, 1,
            said.metadata.get("eval_slice", 0), said.metadata.get("block", 0),
        )  # fmt: skip
        for group in _rectangles([lane for _, lane, _ in continued], how):
            yield _shard(cell.id, how, group, until, start=said.stop, after=said.id)


def _as_planned(record: ShardRecord) -> Shard:
    said = record.metadata
    return Shard(
        record.id,
        record.cell,
        said.get("mode", ""),
        said.get("eval_slice", 0),
        said.get("block", 0),
        tuple(Lane(x.lane, x.seed, x.hyperparameters) for x in said["lanes"]),
        record.stop,
        said.get("start", 0),
        record.after,
    )


def _shard(
    cell: str, how: Batching, lanes: Sequence[Lane], stop: int, start: int = 0, after: str = ""
) -> Shard:
    known = shard_id(
        cell, mode=how.mode, eval_slice=how.eval_slice, block=how.block,
        lanes=lanes, stop=stop, start=start,
    )  # fmt: skip
    return Shard(known, cell, how.mode, how.eval_slice, how.block, tuple(lanes), stop, start, after)


def _rectangles(lanes: Sequence[Lane], how: Batching) -> Iterator[list[Lane]]:
    """Split lanes so that those of one program are all points of some seeds."""
    if how.mode != "vmap":
        yield list(lanes)
        return
    for seeds, _ in _alike(lanes):
        yield [lane for lane in lanes if lane.seed in seeds]


def _groups(lanes: Sequence[Lane], optimizer: OptimizerSpec, how: Batching) -> Iterator[list[Lane]]:
    """Split lanes by the batching of their cell; those of a program differ in nothing static."""
    at = {(lane.seed, _key(lane.hyperparameters)): lane for lane in lanes}
    for seeds, points in _alike(lanes):
        programs: dict[tuple[tuple[str, str], ...], list[Hyperparameters]] = {}
        for point in points:
            static, _ = split_static(optimizer, point)
            programs.setdefault(static_key(static) if how.mode == "vmap" else (), []).append(point)
        for first in range(0, len(seeds), how.seeds):
            for members in programs.values():
                for start in range(0, len(members), how.points):
                    yield [
                        at[seed, _key(point)]
                        for seed in seeds[first : first + how.seeds]
                        for point in members[start : start + how.points]
                    ]


def _alike(lanes: Sequence[Lane]) -> list[tuple[list[int], list[Hyperparameters]]]:
    """Return seeds that have the same points, together, and these points."""
    points: dict[int, list[Hyperparameters]] = {}
    for lane in lanes:
        points.setdefault(lane.seed, []).append(lane.hyperparameters)
    groups: dict[str, tuple[list[int], list[Hyperparameters]]] = {}
    for seed, mine in points.items():
        groups.setdefault(repr(mine), ([], mine))[0].append(seed)
    return list(groups.values())


def _key(point: Hyperparameters) -> str:
    # 1, 1.0 and True are equal, but not the same program.
    return repr(sorted(point.items()))


def split_static(
    optimizer: OptimizerSpec, point: Hyperparameters
) -> tuple[Hyperparameters, Hyperparameters]:
    """Split hyperparameters into those that a program is compiled for, and those it is given."""
    static = {name: value for name, value in point.items() if name in optimizer.static}
    return static, {name: value for name, value in point.items() if name not in static}


def static_key(static: Hyperparameters) -> tuple[tuple[str, str], ...]:
    """Return a key of hyperparameters that a program is compiled for.

    >>> static_key({"nesterov": True, "betas": [0.9, 0.99]})
    (('betas', '[0.9, 0.99]'), ('nesterov', 'True'))
    """
    # By `repr`: a value may be a list, and 1, 1.0 and True are equal but not the same program.
    return tuple((name, repr(value)) for name, value in sorted(static.items()))
