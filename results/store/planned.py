"""From a plan and the shards that were found to cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import StoreError
from velodrome.results.store.cell import Cell, ShardRecord
from velodrome.results.store.curves import LaneInfo


def planned_cells(
    plan: Mapping[str, Any],
    *,
    shards: Sequence[ShardRecord],
    failures: Mapping[str, Mapping[str, Any]],
    report: Callable[[Path, StoreError], None],
) -> Iterator[Cell]:
    """All planned cells in the plan's order, also those without any results.

    Args:
      plan: plain JSON with ``cells`` and ``shards``.
      shards: those that are in the store.
      failures: records by shard id.
      report: called with a file that turns out to be damaged when its curves are read.
    """
    found: dict[str, list[ShardRecord]] = {}
    for shard in shards:
        found.setdefault(shard.cell, []).append(shard)
    planned: dict[str, list[LaneInfo]] = {}
    cell_of: dict[str, str] = {}
    for entry in plan["shards"]:
        cell_of[str(entry["id"])] = str(entry["cell"])
        lanes = [LaneInfo.from_json(lane) for lane in entry["lanes"]]
        planned.setdefault(str(entry["cell"]), []).extend(lanes)
    failed: dict[str, list[Mapping[str, Any]]] = {}
    for shard_id, record in failures.items():
        failed.setdefault(str(record.get("cell") or cell_of.get(shard_id)), []).append(record)
    for cell in plan["cells"]:
        mine = tuple(found.get(cell["id"], ()))
        optimizer = cell["optimizer"]
        if isinstance(optimizer, str):
            optimizer = {"name": optimizer}
        said = mine[0].metadata if mine else {}
        yield Cell(
            id=cell["id"],
            task=cell["task"],
            # The shard knows the label with the weights that were really used.
            optimizer={**optimizer, **said.get("cell", {}).get("optimizer", {})},
            horizon=int(cell["horizon"]),
            planned=tuple(planned.get(cell["id"], ())),
            shards=mine,
            failures=tuple(failed.get(cell["id"], ())),
            data=said.get("data") or cell.get("data", {}),
            report=report,
        )
