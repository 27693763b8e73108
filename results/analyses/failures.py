"""Everything that went wrong in a store: what, where, why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from velodrome.results.speedup.comparison import TaskComparison
from velodrome.results.store.store import Store

FAILURE_COLUMNS = ("what", "task", "label", "kind", "where", "why", "time")
"""Columns of the table of failures.

``what`` is ``run`` (a shard that failed), ``timing``, ``diverged`` (a run of a candidate whose loss
stopped being finite), ``task`` (no speedup: failed, missing or incomplete) or ``file`` (skipped).
Diverged runs of the baseline's sweep are no failures: a sweep goes to where it breaks.
"""


def task_failures(task: TaskComparison) -> list[dict[str, object]]:
    """Return rows of the candidates of one task: no speedup, or runs that diverged."""
    rows: list[dict[str, object]] = []
    for outcome in task.outcomes:
        about = {"task": task.task.label, "label": outcome.cell.label}
        if outcome.status in ("failed", "missing", "incomplete"):
            why = "; ".join(outcome.notes)
            rows.append({**about, "what": "task", "kind": outcome.status, "why": why})
        if outcome.train is None or outcome.point is None:
            continue
        sweep, lanes = outcome.train, outcome.cell.lanes
        for seed, lost in zip(sweep.seeds, sweep.diverged[outcome.point], strict=True):
            if not lost:
                continue
            at = next((x.diverged_at for x in lanes if x.seed == seed and x.diverged_at), None)
            why = "the loss stopped being finite" + (f" at step {at:,}" if at else "")
            rows.append({**about, "what": "diverged", "kind": "diverged",
                         "where": f"seed {seed}", "why": why})  # fmt: skip
    return rows


def failure_table(
    store: Store, labels: Mapping[str, str], rows: Sequence[Mapping[str, object]]
) -> pd.DataFrame:
    """Return all failures; see :data:`FAILURE_COLUMNS`.

    The store's curves have been read, ``labels`` are by the cell's id, ``rows`` are those of
    :func:`task_failures`.
    """
    tasks = {cell.id: cell.task.label for cell in store.plan.cells}
    shards = {shard.id: shard.cell for shard in store.plan.shards}
    found = list(rows)
    for what, records in (("run", store.failures), ("timing", store.timing_failures)):
        for name, record in records.items():
            cell_id = str(record.get("cell") or shards.get(name, ""))
            found.append(
                {
                    "what": what,
                    "task": tasks.get(cell_id),
                    "label": labels.get(cell_id),
                    "kind": record.get("kind", "error"),
                    "where": f"shard {name}" if what == "run" else f"cell {name}",
                    "why": record.get("message", ""),
                    "time": record.get("time"),
                }
            )
    found += [
        {"what": "file", "kind": "skipped", "where": problem.path.name, "why": problem.reason}
        for problem in store.problems
    ]
    return pd.DataFrame(found, columns=list(FAILURE_COLUMNS))
