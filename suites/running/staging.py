"""What is asked for next: how far each run of a baseline's sweep goes, from what the store has.

It is a pure function of the store, so whoever has finished a stage can put up the next one.
"""

from __future__ import annotations

from collections.abc import Sequence

from velodrome.results.speedup.comparison import compare_task
from velodrome.results.speedup.needed import still_needed
from velodrome.results.speedup.stages import Staging, stage_ends
from velodrome.results.store.baseline_mode import BaselineMode
from velodrome.results.store.cell import Cell
from velodrome.results.store.plan import Plan
from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import LoadedSuite
from velodrome.suites.planning.shards import Targets
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.refining import refined
from velodrome.suites.running.store_setup import extended


def in_stages(plan: Plan, protocol: Protocol, mode: BaselineMode) -> bool:
    """Return whether the baseline is run in stages: without a candidate nothing ends one."""
    candidates = any(cell.optimizer.name != protocol.baseline for cell in plan.cells)
    return mode.staged and candidates


def first_targets(plan: Plan, protocol: Protocol, mode: BaselineMode) -> dict[str, Targets] | None:
    """Return how far the runs of a new store go first: None, wholly, without stages."""
    if not in_stages(plan, protocol, mode):
        return None
    budget = protocol.horizon(protocol.baseline)
    first, *_ = stage_ends(protocol.steps, budget, every=protocol.heldout_every)
    return {
        cell.id: {
            lane.run: first
            if cell.optimizer.name == protocol.baseline and cell.extendable
            else cell.horizon
            for lane in cell.lanes
        }
        for cell in plan.cells
    }


def next_plan(store: Store, loaded: LoadedSuite) -> Plan:
    """Return the plan with the next stages of the baseline and the next rates of all searches."""
    plan = refined(store, loaded)
    return extended(store, loaded, plan, next_targets(store, plan))


def next_targets(store: Store, plan: Plan) -> dict[str, Targets] | None:
    """Return how far the runs of a plan go now: as far as they are, or to the end of a stage.

    On a task whose rates are being refined, no stage begins. None: all go to their horizon.
    """
    if not store.baseline_mode.staged:
        return None
    staging, extendable = Staging.of(store), {cell.id: cell.extendable for cell in plan.cells}
    tasks: dict[int, list[Cell]] = {}
    for cell in store.cells(plan):
        tasks.setdefault(cell.task.index, []).append(cell)
    targets: dict[str, Targets] = {}
    for cells in tasks.values():
        for cell in cells:
            if cell.name == staging.baseline and extendable[cell.id]:
                targets[cell.id] = _of_baseline(cell, cells, staging)
            else:
                targets[cell.id] = {lane.run: cell.horizon for lane in cell.planned}
    return targets


def _of_baseline(baseline: Cell, cells: Sequence[Cell], staging: Staging) -> Targets:
    task = compare_task(cells, staging)
    needed = still_needed(task, staging)
    if any(cell.search == "going on" and not cell.failures for cell in cells):
        first, *_ = stage_ends(task.horizon, baseline.horizon, every=staging.every)
        needed = {lane.point: first for lane in baseline.planned}
    curves = baseline.curves()
    ends = zip(curves.lanes, curves.ends().tolist(), strict=True)
    known = {lane.run: min(end, baseline.horizon) for lane, end in ends}
    return {
        lane.run: max(known.get(lane.run, 0), needed.get(lane.point, 0))
        for lane in baseline.planned
    }
