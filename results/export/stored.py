"""All numbers of a store, shard by shard: every run once, every number as it was written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from velodrome.foundation.errors import StoreError
from velodrome.results.store.cell import Cell
from velodrome.results.store.plan import LaneInfo, Run
from velodrome.results.store.shard import ShardRecord


@dataclass(frozen=True)
class ShardRows:
    """Numbers of some runs of one cell, whole.

    Attributes:
      shard: Where they were read, or where they begin.
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

    Where runs were continued, the shards that have them come together. A damaged shard is reported
    to its store and left out.

    Raises:
      StoreError: A run has different losses in two stores.
    """
    for cell in cells:
        if cell.copies:
            for split in ("train", "heldout"):
                cell.curves(split=split)  # compares the runs that are there more than once
        for together in _groups(cell):
            try:
                yield _read(cell, together)
            except StoreError as error:
                if cell.report is None:
                    raise
                cell.report(together[0].path, error)


def _groups(cell: Cell) -> list[list[ShardRecord]]:
    """Return the shards of a cell, together where they have the same runs."""
    groups: list[tuple[set[Run], list[ShardRecord]]] = []
    place = {lane.run: lane.lane for lane in cell.lanes}
    for shard in sorted(cell.shards, key=lambda x: (x.begin, min(place[y.run] for y in x.lanes))):
        runs = {lane.run for lane in shard.lanes}
        joined = [group for group in groups if group[0] & runs]
        groups = [group for group in groups if not group[0] & runs]
        runs = runs.union(*(mine for mine, _ in joined))
        groups.append((runs, [*(one for _, several in joined for one in several), shard]))
    return [shards for _, shards in groups]


def _read(cell: Cell, shards: Sequence[ShardRecord]) -> ShardRows:
    runs = {lane.run for shard in shards for lane in shard.lanes}
    lanes = tuple(lane for lane in cell.lanes if lane.run in runs)
    place = {lane.run: at for at, lane in enumerate(lanes)}
    tables, of_row = [], []
    for shard in shards:
        table = shard.table()
        numbers = pa.array([lane.lane for lane in shard.lanes], pa.int32())
        at = pc.call_function("index_in", [table["lane"]], pc.SetLookupOptions(numbers))
        places = pa.array([place[lane.run] for lane in shard.lanes], pa.int32())
        of_row.append(places.take(at.combine_chunks()))
        tables.append(table.drop_columns(["lane"]))
    whole = tables[0] if len(tables) == 1 else pa.concat_tables(tables).unify_dictionaries()
    return ShardRows(cell, shards[0], lanes, pa.chunked_array(of_row), whole)
