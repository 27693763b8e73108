"""Tables of curves and of runs, with the columns that identify a run."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pyarrow as pa

from velodrome.foundation.canonical import canonical_json
from velodrome.results.analyses.tuning import rate_of
from velodrome.results.export.stored import ShardRows
from velodrome.results.store.cell import Cell
from velodrome.results.store.plan import LaneInfo, Run
from velodrome.results.store.shard import ShardRecord
from velodrome.results.store.store import Store

_NAME = pa.dictionary(pa.int32(), pa.string())
_KEY = {
    "index": pa.int32(),
    "task": _NAME,
    "family": _NAME,
    "provenance": _NAME,
    "cell": _NAME,
    "optimizer": _NAME,
    "label": _NAME,
    "horizon": pa.int32(),
    "hyperparameters": _NAME,
    "learning_rate": pa.float64(),
    "seed": pa.int64(),
}
CURVES = pa.schema(
    {**_KEY, "split": _NAME, "metric": _NAME, "step": pa.int32(), "value": pa.float32()}
)
"""Columns of the curves: a row for every number that was measured.

``index`` is the task's place in the suite, ``provenance`` the kind of its data. ``cell`` is a task
with an optimizer (version and weights too) at one ``horizon``; with ``hyperparameters`` and
``seed`` it is one run. ``learning_rate`` is one of the hyperparameters, null where there is none.
``value`` is not smoothed. A run that diverged has no rows from then on.
"""
RUNS = pa.schema(
    {
        **_KEY,
        "status": _NAME,
        "diverged_at": pa.int64(),
        "task_hash": _NAME,
        "data": _NAME,
        "data_hash": _NAME,
        "version": _NAME,
        "identity": _NAME,
        "shard": pa.string(),
        "started": pa.string(),
        "shard_seconds": pa.float64(),
        "shard_runs": pa.int32(),
        "device": _NAME,
    }
)
"""Columns of the runs: a row for every planned or stored run.

``status`` is ``ok``, ``diverged`` (at step ``diverged_at``), ``failed`` or ``missing``. Runs are
computed in shards; ``shard_seconds`` is the time of all ``shard_runs`` runs of one, evaluations
included; of a run that was continued, the last one's. ``version`` and ``identity`` (its weights,
for one that is learned) are the optimizer's.
"""


def curve_table(rows: ShardRows) -> pa.Table:
    """Make the rows of a shard, with the columns of :data:`CURVES`."""
    about = [_key(rows.cell, lane) for lane in rows.lanes]
    key = pa.Table.from_pylist(about, schema=pa.schema(_KEY)).take(rows.run)
    for name in ("split", "metric", "step", "value"):
        key = key.append_column(name, rows.table[name])
    return key.cast(CURVES)


def run_table(store: Store, cells: Iterable[Cell]) -> pa.Table:
    """List all runs of a store's cells, with the columns of :data:`RUNS`; reads no curves."""
    rows = []
    for cell in cells:
        names = [str(failure.get("shard")) for failure in cell.failures]
        failed = [store.plan.shard(name).lanes for name in names if store.plan.has_shard(name)]
        rows += _runs(cell, {lane.run for lanes in failed for lane in lanes})
    return pa.Table.from_pylist(rows, schema=RUNS)


def _runs(cell: Cell, failed: Collection[Run]) -> list[dict[str, object]]:
    shards = {lane.run: shard for shard in cell.shards for lane in shard.lanes}
    found = {lane.run: (lane, lane.status, shards[lane.run]) for lane in cell.lanes}
    missing = [lane for lane in cell.planned if lane.run not in found]
    runs: list[tuple[LaneInfo, str, ShardRecord | None]] = [*found.values()]
    runs += [(lane, "failed" if lane.run in failed else "missing", None) for lane in missing]
    runs.sort(key=lambda run: (_rate(run[0]) or 0.0, run[0].seed))
    return [_run(cell, *run) for run in runs]


def _rate(lane: LaneInfo) -> float | None:
    rate = rate_of(lane.hyperparameters)
    return None if rate != rate else rate


def _run(cell: Cell, lane: LaneInfo, status: str, shard: ShardRecord | None) -> dict[str, object]:
    said = shard.metadata if shard else {}
    seconds = said.get("seconds")
    return {
        **_key(cell, lane),
        "status": status,
        "diverged_at": lane.diverged_at,
        "task_hash": cell.task.hash,
        "data": cell.data.name,
        "data_hash": cell.data.content_hash,
        "version": str(cell.optimizer.version),
        "identity": canonical_json(dict(cell.optimizer.identity)),
        "shard": shard.id if shard else None,
        "started": said.get("started"),
        "shard_seconds": float(seconds) if isinstance(seconds, int | float) else None,
        "shard_runs": len(shard.metadata["lanes"]) if shard else None,
        "device": (said.get("device") or {}).get("kind"),
    }


def _key(cell: Cell, lane: LaneInfo) -> dict[str, object]:
    return {
        "index": cell.task.index,
        "task": cell.task.label,
        "family": cell.task.family,
        "provenance": cell.data.provenance,
        "cell": cell.id,
        "optimizer": cell.name,
        "label": cell.label,
        "horizon": cell.horizon,
        "hyperparameters": lane.point,
        "learning_rate": _rate(lane),
        "seed": lane.seed,
    }
