"""Our tuned Adam beside the published one: how many steps each needs to the same loss."""

from __future__ import annotations

import numpy as np
import pandas as pd

from velodrome.results.analyses.reference import Reference
from velodrome.results.speedup.comparison import TaskComparison

PUBLISHED_COLUMNS = ("index", "task", "steps", "loss", "published_steps", "ratio", "censored")


def published_rows(task: TaskComparison, reference: Reference) -> list[dict]:
    """Compares the baseline's envelope with the published one of the task's name.

    Ours is smoothed as the published one is (definition ``paper``). The loss that ours has
    reached after N steps, the candidates' horizon, and at the end of its budget, is looked up in
    the published envelope: a ratio over 1 says that ours is faster.

    Args:
      task: One task of a store.
      reference: Published envelopes.

    Returns:
      Rows of :data:`PUBLISHED_COLUMNS`, at most two; none if the task has no published name or an
      incomplete sweep. ``censored`` is "right" where the published envelope never gets there:
      ``published_steps`` is then the last of its steps, and the ratio a lower bound; and "left"
      where ours is no lower than the published first loss.
    """
    race = task.races.get("paper")
    published = reference.envelopes.get(task.task.label)
    if race is None or published is None or task.incomplete:
        return []
    envelope = race.envelope(task.evaluations)
    horizons = {outcome.cell.horizon for outcome in task.outcomes} | {race.budget}
    rows = []
    for steps in sorted(horizons):
        at = np.flatnonzero(race.baseline.steps == steps)
        if not len(at) or not np.isfinite(envelope[at[0]]):
            continue
        loss = float(envelope[at[0]])
        found = float(published.steps_to(np.array([loss]))[0])
        never = not np.isfinite(found)
        found = float(published.steps[-1]) if never else found
        rows.append(
            {
                "index": task.task.index,
                "task": task.task.label,
                "steps": int(steps),
                "loss": loss,
                "published_steps": found,
                "ratio": found / steps,
                "censored": "right" if never else "left" if found == 0 else "no",
            }
        )
    return rows


def published_table(rows: list[dict]) -> pd.DataFrame:
    """Rows of :func:`published_rows` of all tasks as a table; empty if there are none."""
    return pd.DataFrame(rows, columns=list(PUBLISHED_COLUMNS))
