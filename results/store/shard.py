"""`ShardRecord`: a valid shard of a store, or the part of it that a cell reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from velodrome.foundation.errors import StoreError
from velodrome.results.store import shard_file
from velodrome.results.store.optimizer_ref import OptimizerRef
from velodrome.results.store.plan import DataRef, LaneInfo
from velodrome.results.store.records import ShardMetadata


@dataclass(frozen=True)
class ShardRecord:
    """A shard: where it is, what it says about itself, and which of its rows are read.

    Attributes:
      group: Its row group, in a file of several shards; None: it has the file alone.
      chosen: The lanes that are read; None is all.
      until: Rows of later steps are left out; None: no rows are.
      heldout_every: If not 0, rows of the held-out split at other steps are left out, except at
        ``horizon``: a shorter run was evaluated there last, and a longer one was not.
    """

    path: Path
    metadata: ShardMetadata
    group: int | None = None
    chosen: tuple[LaneInfo, ...] | None = None
    until: int | None = None
    horizon: int = 0
    heldout_every: int = 0

    @property
    def id(self) -> str:
        return self.metadata["shard"]

    @property
    def cell(self) -> str:
        """Id of the cell whose lanes it holds."""
        return self.metadata["cell"]["id"]

    @property
    def lanes(self) -> tuple[LaneInfo, ...]:
        return self.metadata["lanes"] if self.chosen is None else self.chosen

    @property
    def stop(self) -> int:
        """Updates that its lanes have made in the end."""
        return self.metadata.get("stop", self.metadata["cell"]["horizon"])

    @property
    def begin(self) -> int:
        """Updates that its lanes have made where its rows begin."""
        return 0 if self.metadata.get("started_over") else self.metadata.get("start", 0)

    @property
    def after(self) -> str:
        """Id of the shard from whose end it went on; empty if it began with the run."""
        return self.metadata.get("after", "")

    @property
    def optimizer(self) -> OptimizerRef:
        """The optimizer that was run; its label names the weights that were really used."""
        return self.metadata["cell"]["optimizer"]

    @property
    def data(self) -> DataRef:
        said = self.metadata["data"]
        return DataRef(said["name"], said["content_hash"], said["provenance"])

    def table(self) -> pa.Table:
        """Read the rows: ``lane``, ``step``, ``split``, ``metric``, ``value``.

        Raises:
          StoreError: The file is damaged, or has rows of lanes that it does not list.
        """
        found = shard_file.read_table(self.path, self.group)
        known = [lane.lane for lane in self.metadata["lanes"]]
        if not np.isin(found["lane"].to_numpy(), known).all():
            raise StoreError(f"{self.path.name} has rows of lanes that its metadata does not list")
        keep = np.ones(len(found), bool)
        if self.chosen is not None and len(self.chosen) < len(self.metadata["lanes"]):
            keep &= np.isin(found["lane"].to_numpy(), [lane.lane for lane in self.chosen])
        if self.until is not None:
            step = found["step"].to_numpy()
            keep &= step <= self.until
            if self.heldout_every:
                due = (step % self.heldout_every == 0) | (step == self.horizon)
                keep &= due | ~shard_file.equals(found["split"], "heldout")
        return found if keep.all() else found.filter(pa.array(keep))

    def rows(self, *, split: str, metric: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read the rows of one split and metric.

        Returns:
          Place in `lanes` int64[row], step int32[row], value float32[row], in the file's order.

        Raises:
          StoreError: The file is damaged, or has rows of lanes that it does not list.
        """
        found = self.table()
        wanted = shard_file.equals(found["split"], split)
        wanted &= shard_file.equals(found["metric"], metric)
        lane, step, value = (found[name].to_numpy()[wanted] for name in ("lane", "step", "value"))
        order = np.argsort([info.lane for info in self.lanes])
        numbers = np.array([info.lane for info in self.lanes])[order]
        return order[np.searchsorted(numbers, lane)], step, value
