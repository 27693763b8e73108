"""Imported runs in a store: a plan that asks for them, and a shard with their losses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np

from velodrome.foundation.errors import DataError, StoreError
from velodrome.results.imports.fitting import FittedRun
from velodrome.results.store.optimizer_ref import OptimizerRef
from velodrome.results.store.plan import IMPORTED, Lane, Plan, PlannedCell, Run, Shard, shard_id
from velodrome.results.store.records import ImportRecord, Manifest, ProtocolRecord
from velodrome.results.store.shard import ShardRecord
from velodrome.results.store.store import Store
from velodrome.suites.planning.batching import rule
from velodrome.suites.planning.plan import imported_cell
from velodrome.suites.suite import Suite
from velodrome.suites.training.environment import command_line, versions


def already_there(store: Store | None, cell: PlannedCell, runs: Sequence[FittedRun]) -> set[Run]:
    """Return the runs of an imported cell that a store has.

    Raises:
      StoreError: It has one of them with other losses.
    """
    found: set[Run] = set()
    new = {run.run: run for run in runs}
    for shard in store.shards() if store is not None else ():
        if shard.cell != cell.id:
            continue
        for lane in shard.lanes:
            if lane.run not in new:
                continue
            run = new[lane.run]
            if _stored(shard, lane.lane) != run.losses or lane.diverged_at != run.diverged_at:
                raise StoreError(
                    f"{shard.path.parents[1]} has {cell.optimizer.label} on {cell.task.label} with "
                    f"seed {lane.seed} and hyperparameters {lane.point} already, with other "
                    "losses. If the optimizer has changed, raise its version; if this is another "
                    "run of it, give it another seed"
                )
            found.add(lane.run)
    return found


def _stored(shard: ShardRecord, lane: int) -> dict[str, dict[int, float]]:
    rows = shard.table().to_pandas()
    rows = rows.loc[rows["lane"] == lane]
    return {
        split: dict(zip(mine["step"].tolist(), mine["value"].astype(float).tolist(), strict=True))
        for split in ("train", "heldout")
        for mine in [rows.loc[rows["split"] == split]]
    }


def write_runs(
    place: Path,
    store: Store | None,
    suite: Suite,
    index: int,
    ref: OptimizerRef,
    new: Sequence[FittedRun],
    record: ImportRecord,
) -> None:
    """Write the new runs, and ask for all imported ones with what was asked for before."""
    records = [] if store is None else [s for s in store.shards() if s.optimizer.imported]
    shards = [_planned(one) for one in records]
    cell = imported_cell(suite, index, ref, [_lane(at, run) for at, run in enumerate(new)])
    added = None
    if new:
        named = shard_id(
            cell.id, mode=IMPORTED, eval_slice=0, block=0, lanes=cell.lanes, stop=cell.horizon
        )
        added = Shard(named, cell.id, IMPORTED, 0, 0, cell.lanes, cell.horizon)
        shards.append(added)
    lanes: dict[str, list[Lane]] = {}
    for shard in shards:
        lanes.setdefault(shard.cell, []).extend(shard.lanes)
    refs = _newest([one.optimizer for one in records]) | {ref.name: ref}
    cells = [made for one in refs.values() for made in _cells(suite, one, lanes)]
    plan = _plan(store, suite, cells, shards)
    manifest = _manifest(suite, plan) if store is None else store.manifest
    content = suite.to_json() if store is None else dict(store.suite)
    asked = Store.create(place, manifest=manifest, plan=plan, suite=content)
    if added is not None:
        metadata = _metadata(suite, cell, added, new, record)
        asked.write_shard(added.id, _columns(new), metadata)


def _lane(number: int, run: FittedRun) -> Lane:
    return Lane(number, run.seed, run.point)


def _planned(shard: ShardRecord) -> Shard:
    lanes = tuple(Lane(one.lane, one.seed, one.hyperparameters) for one in shard.lanes)
    return Shard(shard.id, shard.cell, IMPORTED, 0, 0, lanes, shard.stop)


def _newest(refs: Sequence[OptimizerRef]) -> dict[str, OptimizerRef]:
    """Return the highest version of each optimizer, by name: a question has one of them."""
    return {one.name: one for one in sorted(refs, key=lambda one: one.version)}


def _cells(
    suite: Suite, ref: OptimizerRef, lanes: Mapping[str, Sequence[Lane]]
) -> Iterator[PlannedCell]:
    """Yield cells of an imported optimizer on all tasks, so that the others count as missing."""
    for index in range(len(suite.tasks)):
        try:
            cell = imported_cell(suite, index, ref, ())
        except DataError:
            continue  # without the data it has no id, and nothing was imported for it
        runs = sorted(lanes.get(cell.id, ()), key=lambda lane: lane.run)
        mine = [dataclasses.replace(lane, lane=at) for at, lane in enumerate(runs)]
        yield imported_cell(suite, index, ref, mine)


def _plan(
    store: Store | None, suite: Suite, imported: Sequence[PlannedCell], shards: Sequence[Shard]
) -> Plan:
    known = {cell.id for cell in imported}
    mine = [shard for shard in shards if shard.cell in known]
    if store is None:
        return Plan(suite.hash, suite.protocol.hash, rule("cpu"), tuple(imported), tuple(mine))
    before = store.plan
    cells = [cell for cell in before.cells if not cell.optimizer.imported]
    kept = [shard for shard in before.shards if shard.mode != IMPORTED]
    return dataclasses.replace(
        before,
        cells=tuple(sorted([*cells, *imported], key=lambda cell: cell.task.index)),
        shards=(*kept, *mine),
    )


def _manifest(suite: Suite, plan: Plan) -> Manifest:
    """Return what a store says in which nothing was trained: it names no device."""
    return {
        "suite": {"name": suite.name, "hash": suite.hash},
        "protocol": cast(ProtocolRecord, suite.protocol.to_json()),
        "protocol_hash": suite.protocol.hash,
        "data": "+".join(sorted({cell.data.provenance for cell in plan.cells})),
        "command": command_line(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
    }


def _columns(runs: Sequence[FittedRun]) -> dict[str, np.ndarray]:
    rows = [
        (lane, step, split, value)
        for lane, run in enumerate(runs)
        for split, losses in run.losses.items()
        for step, value in losses.items()
    ]
    return {
        "lane": np.array([row[0] for row in rows], np.int32),
        "step": np.array([row[1] for row in rows], np.int32),
        "split": np.array([row[2] for row in rows], str),
        "metric": np.full(len(rows), "loss"),
        "value": np.array([row[3] for row in rows], np.float32),
    }


def _metadata(
    suite: Suite,
    cell: PlannedCell,
    shard: Shard,
    runs: Sequence[FittedRun],
    record: ImportRecord,
) -> dict[str, object]:
    planned = cell.to_json()
    return {
        "cell": {name: planned[name] for name in ("id", "task", "optimizer", "horizon")},
        "lanes": [
            {
                **vars(lane),
                "status": "ok" if run.diverged_at is None else "diverged",
                "diverged_at": run.diverged_at,
            }
            for lane, run in zip(shard.lanes, runs, strict=True)
        ],
        "protocol": suite.protocol.to_json(),
        "data": vars(cell.data),
        "mode": shard.mode,
        "eval_slice": shard.eval_slice,
        "block": shard.block,
        "start": 0,
        "stop": shard.stop,
        "versions": versions(),
        "imported": record,
    }
