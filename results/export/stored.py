"""All numbers of a store, shard by shard: every run once, every number as it was written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from velodrome.foundation.errors import StoreError
from velodrome.results.store.cell import Cell, ShardRecord
from velodrome.results.store.curves import LaneInfo
from velodrome.results.store.shard_file import read_table


@dataclass(frozen=True)
class ShardRows:
    """Numbers of some runs of one cell.

    Attributes:
      shard: Where they were read.
      lanes: The runs.
      run: For each row the position of its run in ``lanes``.
      table: Columns ``step``, ``split``, ``metric``, ``value``.
    """

    cell: Cell
    shard: ShardRecord
    lanes: tuple[LaneInfo, ...]
    run: pa.ChunkedArray
    table: pa.Table


def stored_rows(cells: Iterable[Cell]) -> Iterator[ShardRows]:
    """Read the shards of cells one after the other, each once; one is in memory at a time.

    A damaged shard is reported to its store and left out. Where several stores have a run, the
    first whole one is taken.

    Raises:
      StoreError: A run has different losses in two stores.
    """
    for cell in cells:
        _check_runs(cell)
        seen: set[tuple[str, int]] = set()
        for shard in sorted(cell.shards, key=lambda x: min(lane.lane for lane in x.lanes)):
            try:
                rows = _read(cell, shard)
            except StoreError as error:
                if cell.report is None:
                    raise
                cell.report(shard.path, error)
                continue
            keys = [(lane.point, lane.seed) for lane in rows.lanes]
            fresh = [key not in seen for key in keys]
            seen.update(keys)
            yield rows if all(fresh) else _only(rows, fresh)


def _check_runs(cell: Cell) -> None:
    keys = [(lane.point, lane.seed) for lane in cell.lanes]
    if len(set(keys)) < len(keys):
        for split in ("train", "heldout"):
            cell.curves(split=split)  # compares the runs that are there more than once


def _read(cell: Cell, shard: ShardRecord) -> ShardRows:
    table, lanes = read_table(shard.path), shard.lanes
    numbers = pa.array([lane.lane for lane in lanes], pa.int32())
    run = pc.call_function("index_in", [table["lane"]], pc.SetLookupOptions(numbers))
    if run.null_count:
        raise StoreError(f"{shard.path.name} has rows of lanes that its metadata does not list")
    return ShardRows(cell, shard, lanes, run, table.drop_columns(["lane"]))


def _only(rows: ShardRows, wanted: list[bool]) -> ShardRows:
    keep = pa.array(wanted).take(rows.run)
    return ShardRows(
        rows.cell, rows.shard, rows.lanes, rows.run.filter(keep), rows.table.filter(keep)
    )
