"""Whether a question will ask for more runs, when those that it asked for so far are done."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from velodrome.results.speedup.comparison import compare_task
from velodrome.results.speedup.needed import still_needed
from velodrome.results.speedup.stages import Staging
from velodrome.results.store.cell import Cell
from velodrome.results.store.plan import Plan
from velodrome.results.store.status import Status
from velodrome.results.store.store import Store


def is_over(now: Status, directory: Path) -> bool:
    """Return whether nobody works in a store, and nothing is left to do or to be asked for."""
    if now.done + now.failed < now.shards or now.workers:
        return False
    return not asks_for_more(Store.open(directory, read_only=True))


def asks_for_more(store: Store) -> bool:
    """Return whether another stage of the baseline, or another round of rates, has to come.

    Between two of them everything that is planned is done and nobody trains, so a store looks as
    if its run were over.
    """
    staging, plan = Staging.of(store), store.plan
    tasks = itertools.groupby(store.cells(plan), key=lambda cell: cell.task.index)
    return any(_of_task(list(cells), staging, plan) for _, cells in tasks)


def _of_task(cells: Sequence[Cell], staging: Staging, plan: Plan) -> bool:
    # A search whose runs have failed stays as it is.
    if any(cell.search == "going on" for cell in cells) and not any(c.failures for c in cells):
        return True
    baseline = next((cell for cell in cells if cell.name == staging.baseline), None)
    if baseline is None or not staging.mode.staged or not plan.cell(baseline.id).extendable:
        return False
    needed = still_needed(compare_task(cells, staging), staging)
    curves = baseline.curves()
    ends = zip(curves.lanes, curves.ends().tolist(), strict=True)
    known = {lane.run: min(end, baseline.horizon) for lane, end in ends}
    # What is planned and has failed is not asked for again.
    for shard in plan.shards:
        if shard.cell == baseline.id:
            for lane in shard.lanes:
                known[lane.run] = max(known.get(lane.run, 0), shard.stop)
    return any(needed.get(lane.point, 0) > known.get(lane.run, 0) for lane in baseline.planned)
