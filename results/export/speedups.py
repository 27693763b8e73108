"""The speedups of every task as a tidy table: by definition, split and unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from velodrome.results.speedup.definitions import DEFINITIONS
from velodrome.results.speedup.taskresult import UNITS, Split, TaskResult

SPEEDUP_COLUMNS = (
    "index", "task", "family", "provenance", "optimizer", "label", "status", "saturated",
    "definition", "split", "unit", "speedup", "censored", "diverged", "cap", "low", "high",
    "seeds", "seeds_diverged",
)  # fmt: skip
"""Columns of :func:`speedup_table`.

``unit`` is one of ``velodrome.results.speedup.taskresult.UNITS``. ``censored`` is "right" (at least
``speedup``), "left" or "no"; ``cap`` is the largest value there can be. ``low`` and ``high`` are
the 95% interval over draws of the seeds, for the definition ``default`` alone, null under 5 seeds.
``seeds`` and ``seeds_diverged`` count those of the train split. Unknown values are null.
"""


def speedup_table(results: Sequence[TaskResult]) -> pd.DataFrame:
    """Return one row per task, optimizer, definition, split and unit: :data:`SPEEDUP_COLUMNS`.

    Held-out losses are compared by the definition ``default`` alone, and have no rows where there
    are none at the candidate's horizon.
    """
    rows = [row for result in results for row in _rows(result)]
    return pd.DataFrame(rows, columns=list(SPEEDUP_COLUMNS))


def _rows(result: TaskResult) -> list[dict[str, object]]:
    row = result.row
    about = {name: row.get(name) for name in SPEEDUP_COLUMNS[:8]}
    measured: list[tuple[Split, str, object, object, object]] = [
        ("train", name, row[f"speedup_steps_{name}"], row[f"censored_{name}"],
         row[f"diverged_{name}"])
        for name in DEFINITIONS if f"speedup_steps_{name}" in row
    ]  # fmt: skip
    if not measured:
        measured = [("train", name, np.nan, None, None) for name in DEFINITIONS]
    if "heldout" in result.splits:
        measured.append(
            ("heldout", "default", row["speedup_steps_heldout"], row["censored_heldout"], None)
        )
    found = []
    for split, definition, steps, censored, diverged in measured:
        known = result.splits.get(split)
        low, high = (np.nan, np.nan)
        if definition == "default" and known is not None:
            low, high = known.interval()
        for unit in UNITS:
            scale = float(np.exp2(result.shift(unit)))
            found.append(
                {
                    **about,
                    "definition": definition,
                    "split": split,
                    "unit": unit,
                    "speedup": _number(steps) * scale,
                    "censored": censored,
                    "diverged": diverged,
                    "cap": _number(row.get("cap")) * scale,
                    "low": low * scale,
                    "high": high * scale,
                    "seeds": row.get("seeds"),
                    "seeds_diverged": row.get("seeds_diverged"),
                }
            )
    return found


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
