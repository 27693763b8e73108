"""`Cell`: one optimizer on one task at one horizon, with curves that are read on demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from velodrome.foundation.errors import StoreError
from velodrome.results.store import shard_file
from velodrome.results.store.curves import Curves, LaneInfo
from velodrome.results.store.json_files import Report
from velodrome.results.store.plan import DataRef, OptimizerRef, Plan, TaskRef
from velodrome.results.store.records import Failure, ShardMetadata


@dataclass(frozen=True)
class ShardRecord:
    """A valid shard file: where it is and what it says about itself."""

    path: Path
    metadata: ShardMetadata

    @property
    def id(self) -> str:
        return self.metadata["shard"]

    @property
    def cell(self) -> str:
        """Id of the cell whose lanes it holds."""
        return self.metadata["cell"]["id"]

    @property
    def lanes(self) -> tuple[LaneInfo, ...]:
        return self.metadata["lanes"]

    @property
    def optimizer(self) -> OptimizerRef:
        """The optimizer that was run; its label names the weights that were really used."""
        return self.metadata["cell"]["optimizer"]

    @property
    def data(self) -> DataRef:
        said = self.metadata["data"]
        return DataRef(said["name"], said["content_hash"], said["provenance"])


@dataclass(frozen=True)
class Cell:
    """One optimizer on one task at one horizon.

    Attributes:
      id: Its id in the plan.
      horizon: Training steps.
      data: What the runs were trained on; of a cell without results, what is planned.
      planned: Every run that the plan asks for.
      shards: The valid shards found; empty when nothing has been run.
      failures: Records of the shards that failed.
      report: Called with a damaged file that was skipped.
    """

    id: str
    task: TaskRef
    optimizer: OptimizerRef
    horizon: int
    data: DataRef
    planned: tuple[LaneInfo, ...] = ()
    shards: tuple[ShardRecord, ...] = ()
    failures: tuple[Failure, ...] = ()
    report: Report | None = field(default=None, repr=False)

    @property
    def lanes(self) -> tuple[LaneInfo, ...]:
        """The runs that are in the store."""
        return tuple(lane for shard in self.shards for lane in shard.lanes)

    @property
    def name(self) -> str:
        return self.optimizer.name

    @property
    def label(self) -> str:
        """The optimizer's label, which names the weights of a learned one."""
        return self.optimizer.label or self.name

    def curves(self, *, split: str = "train", metric: str = "loss") -> Curves:
        """Read the curves of this cell; each call reads the files again.

        A shard with damaged pages is reported to the store and left out.

        Args:
          split: ``"train"`` or ``"heldout"``.
          metric: ``"loss"``, ``"accuracy"``, ...

        Returns:
          All lanes on the union of their steps, NaN where a lane has no row. Without any rows
          the arrays are empty.

        Raises:
          StoreError: A file is damaged, and there is no store to report it to.
        """
        parts = []
        for shard in self.shards:
            try:
                parts.append(_rows(shard, split=split, metric=metric))
            except StoreError as error:
                if self.report is None:
                    raise
                self.report(shard.path, error)
        lanes = tuple(lane for infos, *_ in parts for lane in infos)
        steps = np.unique(np.concatenate([p[2] for p in parts] or [np.empty(0, np.int32)]))
        values = np.full((len(lanes), len(steps)), np.nan, dtype=np.float32)
        start = 0
        for infos, row, step, value in parts:
            values[start + row, np.searchsorted(steps, step)] = value
            start += len(infos)
        return Curves(steps.astype(np.int64), values, lanes, split=split, metric=metric)


def _rows(
    shard: ShardRecord, *, split: str, metric: str
) -> tuple[tuple[LaneInfo, ...], np.ndarray, np.ndarray, np.ndarray]:
    """Return the lanes of a shard, and for each of its rows: position of the lane, step, value."""
    lane, step, value = shard_file.read_rows(shard.path, split=split, metric=metric)
    infos = shard.lanes
    order = np.argsort([info.lane for info in infos])
    numbers = np.array([info.lane for info in infos])[order]
    at = np.minimum(np.searchsorted(numbers, lane), len(numbers) - 1)
    if not np.array_equal(numbers[at], lane):
        raise StoreError(f"{shard.path.name} has rows of lanes that its metadata does not list")
    return infos, order[at], step, value


def planned_cells(
    plan: Plan,
    *,
    shards: Sequence[ShardRecord],
    failures: Mapping[str, Failure],
    report: Report,
) -> Iterator[Cell]:
    """Yield all planned cells in the plan's order, also those without any results.

    Args:
      shards: Those that are in the store.
      failures: Records by shard id.
      report: Called with a file that turns out to be damaged when its curves are read.
    """
    found: dict[str, list[ShardRecord]] = {}
    for shard in shards:
        found.setdefault(shard.cell, []).append(shard)
    planned: dict[str, list[LaneInfo]] = {}
    for entry in plan.shards:
        planned.setdefault(entry.cell, []).extend(LaneInfo(**vars(lane)) for lane in entry.lanes)
    failed: dict[str, list[Failure]] = {}
    for shard_id, record in failures.items():
        cell_id = record.get("cell")
        if not cell_id and plan.has_shard(shard_id):
            cell_id = plan.shard(shard_id).cell
        failed.setdefault(str(cell_id), []).append(record)
    for cell in plan.cells:
        mine = tuple(found.get(cell.id, ()))
        yield Cell(
            id=cell.id,
            task=cell.task,
            optimizer=mine[0].optimizer if mine else cell.optimizer,
            horizon=cell.horizon,
            data=mine[0].data if mine else cell.data,
            planned=tuple(planned.get(cell.id, ())),
            shards=mine,
            failures=tuple(failed.get(cell.id, ())),
            report=report,
        )
