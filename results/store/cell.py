"""A cell of a store: one optimizer on one task at one horizon, with curves read on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from velodrome.foundation.errors import StoreError
from velodrome.results.store import shard_file as shardfile
from velodrome.results.store.curves import Curves, LaneInfo


@dataclass(frozen=True)
class ShardRecord:
    """A valid shard file: where it is and what it says about itself."""

    path: Path
    metadata: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The shard's name in the plan."""
        return str(self.metadata["shard"])

    @property
    def cell(self) -> str:
        """Id of the cell whose lanes it holds."""
        return str(self.metadata["cell"]["id"])

    @property
    def lanes(self) -> tuple[LaneInfo, ...]:
        """The runs in the shard."""
        return tuple(LaneInfo.from_json(lane) for lane in self.metadata["lanes"])


@dataclass(frozen=True)
class Cell:
    """One optimizer on one task at one horizon.

    Attributes:
      id: the plan's name for it.
      task: ``{index, label, family, hash}``.
      optimizer: ``{name, label, version, identity}``.
      horizon: training steps.
      planned: every run that the plan asks for.
      shards: the valid shards found; empty when nothing has been run.
      failures: records of the shards that failed.
      data: ``{name, content_hash, provenance}`` of the data that was used.
      report: called with a damaged file that was skipped.
    """

    id: str
    task: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    horizon: int
    planned: tuple[LaneInfo, ...] = ()
    shards: tuple[ShardRecord, ...] = ()
    failures: tuple[Mapping[str, Any], ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    report: Callable[[Path, StoreError], None] | None = field(default=None, repr=False)

    @property
    def lanes(self) -> tuple[LaneInfo, ...]:
        """The runs that are in the store."""
        return tuple(lane for shard in self.shards for lane in shard.lanes)

    @property
    def name(self) -> str:
        """The optimizer's name."""
        return str(self.optimizer["name"])

    @property
    def label(self) -> str:
        """The optimizer's label, with its weights if it is learned."""
        return str(self.optimizer.get("label") or self.name)

    def curves(self, *, split: str = "train", metric: str = "loss") -> Curves:
        """Reads the curves of this cell; each call reads the files again.

        A shard whose pages turn out to be damaged is reported to the store and left out.

        Args:
          split: ``"train"`` or ``"heldout"``.
          metric: ``"loss"``, ``"accuracy"``, ...

        Returns:
          All lanes on the union of their steps, NaN where a lane has no row. Without any rows
          the arrays are empty.

        Raises:
          StoreError: a file is damaged, and there is no store to report it to.
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
    """Lanes of a shard, and for each of its rows: position of the lane, step, value."""
    lane, step, value = shardfile.read_rows(shard.path, split=split, metric=metric)
    infos = shard.lanes
    order = np.argsort([info.lane for info in infos])
    numbers = np.array([info.lane for info in infos])[order]
    at = np.minimum(np.searchsorted(numbers, lane), len(numbers) - 1)
    if not np.array_equal(numbers[at], lane):
        raise StoreError(f"{shard.path.name} has rows of lanes that its metadata does not list")
    return infos, order[at], step, value
