"""What a step of each optimizer costs: seconds over the baseline's, compile time, memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from velodrome.results.speedup.outcome import median_seconds, step_time_ratio
from velodrome.results.store.records import SpecRecord, Timing
from velodrome.results.store.store import Store

OVERHEAD_COLUMNS = (
    "index", "task", "family", "label", "baseline", "batch_size", "parameters",
    "seconds_per_step", "spread", "baseline_seconds_per_step", "ratio", "compile_seconds",
    "eval_seconds", "memory_bytes", "planned_bytes", "device", "threads",
)  # fmt: skip
"""Columns of :func:`overhead_table`.

``spread`` is the interquartile range of the samples of ``seconds_per_step``. ``ratio`` is the
quotient of the two medians, which were measured in turns in one process. ``memory_bytes`` is what
the compiled training program of one run needs, including its optimizer's state, ``planned_bytes``
the prediction for parameters, gradients and activations alone.
What was not measured or is not in the plan is NaN.
"""


def overhead_table(
    store: Store, labels: Mapping[str, str], specs: Sequence[SpecRecord]
) -> pd.DataFrame:
    """Return one row per planned cell of a store.

    ``labels`` are by the cell's id, task ``specs`` by the task's index.
    """
    timings, nothing = store.timings, float("nan")
    rows = []
    for cell in store.plan.cells:
        timing, task, name = timings.get(cell.id), cell.task, cell.optimizer.name
        ratio, _ = step_time_ratio(timing)
        spec: SpecRecord = specs[task.index] if task.index < len(specs) else {}
        said: Timing = timing or {}
        rows.append(
            {
                "index": task.index,
                "task": task.label,
                "family": task.family,
                "label": labels.get(cell.id, name),
                "baseline": name == store.baseline,
                "batch_size": spec.get("batch_size", nothing),
                "parameters": float(cell.cost.params),
                "seconds_per_step": median_seconds(timing),
                "spread": said.get("seconds_per_step", {}).get("spread", nothing),
                "baseline_seconds_per_step": median_seconds(timing, baseline=True),
                "ratio": nothing if ratio is None else ratio,
                "compile_seconds": said.get("compile_seconds", nothing),
                "eval_seconds": said.get("eval_seconds", nothing),
                "memory_bytes": said.get("memory_bytes", nothing),
                "planned_bytes": float(cell.cost.memory_bytes),
                "device": said.get("device", {}).get("kind"),
                "threads": said.get("threads", nothing),
            }
        )
    return pd.DataFrame(rows, columns=list(OVERHEAD_COLUMNS))
