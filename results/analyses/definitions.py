"""The median speedup by each definition of a speedup."""

from __future__ import annotations

import pandas as pd

from velodrome.results.analyses.headline import definition_median
from velodrome.results.speedup.definitions import DEFINITIONS

DEFINITION_COLUMNS = ("label", "definition", "tasks", "median", "lower_bound", "over_default")
"""Columns of :func:`definition_table`: the median is that of speedups in steps, ``over_default``
its ratio to the median by ``default``."""


def definition_table(summary: pd.DataFrame) -> pd.DataFrame:
    """Return rows of :data:`DEFINITION_COLUMNS`; saturated tasks are left out.

    Args:
      summary: As ``velodrome.results.analyses.summary.table`` returns it.
    """
    rows = []
    for label in dict.fromkeys(summary["label"]):
        medians = {name: definition_median(summary, label, name=name) for name in DEFINITIONS}
        mine = summary.loc[(summary["label"] == label) & ~summary["saturated"].astype(bool)]
        default = medians["default"].value
        rows += [
            {
                "label": label,
                "definition": name,
                "tasks": int(mine[f"speedup_steps_{name}"].notna().sum()),
                "median": found.value,
                "lower_bound": found.lower_bound,
                "over_default": found.value / default if default > 0 else float("nan"),
            }
            for name, found in medians.items()
        ]
    return pd.DataFrame(rows, columns=list(DEFINITION_COLUMNS))
