"""`Cell`: one optimizer on one task at one horizon, with curves that are read on demand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from velodrome.foundation.errors import StoreError
from velodrome.results.store.chain import Chain, Segment, chain, segments
from velodrome.results.store.curves import Curves
from velodrome.results.store.json_files import Report
from velodrome.results.store.optimizer_ref import OptimizerRef
from velodrome.results.store.plan import DataRef, LaneInfo, Plan, PlannedCell, Run, TaskRef
from velodrome.results.store.records import Failure
from velodrome.results.store.shard import ShardRecord


@dataclass(frozen=True)
class Cell:
    """One optimizer on one task at one horizon.

    Attributes:
      id: Its id in the plan.
      horizon: Training steps.
      data: What the runs were trained on; of a cell without results, what is planned.
      planned: Every run that the question asks for.
      lanes: The runs that are in the store, in this order.
      shards: Those that the runs are read from, with the lanes that are taken from each. A run
        that was continued is in several.
      copies: Other shards with some of these runs, as far or less far, from further directories.
      failures: Records of the shards that failed.
      search: See `PlannedCell`.
      report: Called with a damaged file that was skipped.
    """

    id: str
    task: TaskRef
    optimizer: OptimizerRef
    horizon: int
    data: DataRef
    planned: tuple[LaneInfo, ...] = ()
    lanes: tuple[LaneInfo, ...] = ()
    shards: tuple[ShardRecord, ...] = ()
    copies: tuple[ShardRecord, ...] = ()
    failures: tuple[Failure, ...] = ()
    search: str = ""
    report: Report | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return self.optimizer.name

    @property
    def label(self) -> str:
        """The optimizer's label, which names the weights of a learned one."""
        return self.optimizer.label or self.name

    def curves(self, *, split: str = "train", metric: str = "loss") -> Curves:
        """Read the curves of this cell; each call reads the files again.

        A shard with damaged pages is reported to the store and left out; one that was moved since
        the store was opened is an error.

        Args:
          split: ``"train"`` or ``"heldout"``.
          metric: ``"loss"``, ``"accuracy"``, ...

        Returns:
          All lanes on the union of their steps, NaN where a lane has no row. Without any rows
          the arrays are empty.

        Raises:
          StoreError: A file is damaged, and there is no store to report it to; or it is gone; or a
            run has different losses in two directories.
        """
        found = self._curves(self.shards, split, metric)
        if self.copies:
            self._compare(found, self._curves(self.copies, split, metric))
        return found

    def _curves(self, shards: Iterable[ShardRecord], split: str, metric: str) -> Curves:
        parts: list[tuple[list[Run], np.ndarray, np.ndarray, np.ndarray]] = []
        damaged: set[Run] = set()
        for shard in shards:
            runs = [lane.run for lane in shard.lanes]
            try:
                parts.append((runs, *shard.rows(split=split, metric=metric)))
            except StoreError as error:
                if self.report is None or not shard.path.exists():
                    raise
                self.report(shard.path, error)
                damaged.update(runs)
        there = {run for runs, *_ in parts for run in runs} - damaged
        lanes = tuple(lane for lane in self.lanes if lane.run in there)
        place = {lane.run: at for at, lane in enumerate(lanes)}
        steps = np.unique(np.concatenate([p[2] for p in parts] or [np.empty(0, np.int32)]))
        # The last row takes what is left out.
        values = np.full((len(lanes) + 1, len(steps)), np.nan, dtype=np.float32)
        for runs, row, step, value in parts:
            rows = np.array([place.get(run, len(lanes)) for run in runs], np.int64)
            values[rows[row], np.searchsorted(steps, step)] = value
        return Curves(steps.astype(np.int64), values[:-1], lanes, split=split, metric=metric)

    def _compare(self, ours: Curves, theirs: Curves) -> None:
        place = {lane.run: row for row, lane in enumerate(ours.lanes)}
        for row, (lane, end) in enumerate(zip(theirs.lanes, theirs.ends(), strict=True)):
            if lane.run not in place:
                continue
            # A sweep that stops may have stopped earlier there.
            common = np.isin(theirs.steps, ours.steps) & (theirs.steps <= end)
            steps = theirs.steps[common]
            mine = ours.values[place[lane.run], np.searchsorted(ours.steps, steps)]
            pair = mine, theirs.values[row, common]
            if not np.array_equal(*pair, equal_nan=True):
                step = int(np.flatnonzero(pair[0] != pair[1])[0])
                self._refuse(lane, int(steps[step]), float(pair[0][step]), float(pair[1][step]))

    def _refuse(self, lane: LaneInfo, step: int, ours: float, theirs: float) -> None:
        stores = sorted({str(one.path.parents[1]) for one in (*self.shards, *self.copies)})
        raise StoreError(
            f"{' and '.join(stores)} both have {self.label} on {self.task.label} with seed "
            f"{lane.seed} and hyperparameters {lane.point}, and the losses differ "
            f"({ours:.9g} and {theirs:.9g} at step {step}): a report holds each run once. Run the "
            "other optimizers alone (`velodrome run --optimizers NAME`), or see `velodrome "
            "compare` for what differs"
        )


def planned_cells(
    plan: Plan,
    *,
    shards: Sequence[ShardRecord],
    failures: Mapping[str, Failure],
    report: Report,
    heldout_every: int = 0,
    partial: str = "",
) -> Iterator[Cell]:
    """Yield all planned cells in the plan's order, also those without any results.

    Args:
      shards: Those that are in the store, of this question and of others.
      failures: Records by shard id.
      report: Called with a file that turns out to be damaged when its curves are read.
      heldout_every: Updates between evaluations on the held-out split; 0 if that is not known.
      partial: The optimizer whose runs count as well if they have not reached the horizon.
    """
    found: dict[str, list[ShardRecord]] = {}
    for shard in shards:
        found.setdefault(shard.cell, []).append(shard)
    failed: dict[str, list[Failure]] = {}
    for name, record in failures.items():
        cell_id = record.get("cell")
        if not cell_id and plan.has_shard(name):
            cell_id = plan.shard(name).cell
        failed.setdefault(str(cell_id), []).append(record)
    for cell in plan.cells:
        mine = found.get(cell.id, [])
        lanes, first, others = _gathered(
            cell, mine, heldout_every, partial=partial == cell.optimizer.name
        )
        yield Cell(
            id=cell.id,
            # Its place in the suite of this question: it may have another one elsewhere.
            task=cell.task,
            optimizer=first[0].optimizer if first else cell.optimizer,
            horizon=cell.horizon,
            data=first[0].data if first else cell.data,
            planned=tuple(LaneInfo(x.seed, x.hyperparameters, lane=x.lane) for x in cell.lanes),
            lanes=lanes,
            shards=first,
            copies=others,
            failures=tuple(failed.get(cell.id, ())),
            search=cell.search,
            report=report,
        )


def _gathered(
    cell: PlannedCell, shards: Sequence[ShardRecord], heldout_every: int, *, partial: bool
) -> tuple[tuple[LaneInfo, ...], tuple[ShardRecord, ...], tuple[ShardRecord, ...]]:
    """Return the runs that are there, the shards to read them from, and shards with copies."""
    places: dict[Path, list[ShardRecord]] = {}
    for shard in shards:
        places.setdefault(shard.path.parents[1], []).append(shard)
    of_place = [segments(mine) for mine in places.values()]
    lanes: list[LaneInfo] = []
    taken: tuple[list[tuple[Segment, int]], list[tuple[Segment, int]]] = ([], [])
    for lane in cell.lanes:
        chains = [
            chain(of_run[lane.run], cell.horizon, heldout_every=heldout_every)
            for of_run in of_place
            if lane.run in of_run
        ]
        chains = [one for one in chains if one.reached >= cell.horizon or (partial and one.reached)]
        if not chains:
            continue
        chains.sort(key=lambda one: -one.reached)
        lanes.append(_lane_info(chains[0], lane.lane))
        for copy, one in enumerate(chains):
            taken[copy > 0].extend((segment, one.reached) for segment in one.segments)
    first, others = (_views(some, cell.horizon, heldout_every) for some in taken)
    return tuple(lanes), first, others


def _lane_info(found: Chain, number: int) -> LaneInfo:
    last = found.segments[-1].lane
    if last.diverged_at is not None and last.diverged_at > found.reached:
        last = replace(last, status="ok", diverged_at=None)
    return replace(last, lane=number)


def _views(
    taken: Sequence[tuple[Segment, int]], horizon: int, heldout_every: int
) -> tuple[ShardRecord, ...]:
    """Return the shards with only what is read of them; lanes of one keep their order."""
    chosen: dict[tuple[Path, int | None, int], tuple[ShardRecord, set[int]]] = {}
    for segment, reached in taken:
        shard = segment.shard
        key = shard.path, shard.group, reached
        chosen.setdefault(key, (shard, set()))[1].add(segment.lane.lane)
    views = []
    for (_, _, reached), (shard, numbers) in chosen.items():
        lanes = tuple(
            replace(lane, status="ok", diverged_at=None)
            if lane.diverged_at is not None and lane.diverged_at > reached
            else lane
            for lane in shard.metadata["lanes"]
            if lane.lane in numbers
        )
        whole = shard.stop == horizon
        views.append(
            replace(
                shard,
                chosen=lanes,
                until=None if whole else reached,
                horizon=horizon,
                heldout_every=0 if whole else heldout_every,
            )
        )
    return tuple(views)
