"""Our tuned Adam beside the published one: how many steps each needs to the same loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from velodrome.results.analyses.reference import Envelope, Reference
from velodrome.results.speedup.comparison import TaskComparison
from velodrome.results.speedup.speedup import BaselineEnvelope

PUBLISHED_COLUMNS = ("index", "task", "steps", "loss", "published_steps", "ratio", "censored")
"""Columns of :func:`published_rows`.

A ``ratio`` over 1 says that our baseline is faster. ``censored`` is "right" where the published
envelope never gets to ``loss``: ``published_steps`` is then the last of its steps, and the ratio a
lower bound; and "left" where ours is no lower than the published first loss.
"""


def published_rows(task: TaskComparison, reference: Reference) -> list[dict[str, object]]:
    """Compare the baseline's envelope with the published one of the task's name.

    Ours is smoothed as the published one is (definition ``paper``), and taken at its steps. The
    loss that ours has reached after N steps, the candidates' horizon, and at the end of its budget,
    is looked up in the published envelope.

    Returns:
      Rows of :data:`PUBLISHED_COLUMNS`, at most two; none if the task has no published name or an
      incomplete sweep.
    """
    ours = task.envelopes.get("paper")
    published = reference.envelopes.get(str(task.about["task"]))
    if ours is None or published is None or task.incomplete:
        return []
    rows: list[dict[str, object]] = []
    for steps in sorted({outcome.cell.horizon for outcome in task.outcomes} | {ours.runs.budget}):
        loss = loss_at(ours, task.evaluations, published, steps)
        if not np.isfinite(loss):
            continue
        found = float(published.steps_to(np.array([loss]))[0])
        never = not np.isfinite(found)
        found = float(published.steps[-1]) if never else found
        rows.append(
            {
                **task.about,
                "steps": int(steps),
                "loss": loss,
                "published_steps": found,
                "ratio": found / steps,
                "censored": "right" if never else "left" if found == 0 else "no",
            }
        )
    return rows


def at_published_steps(
    ours: BaselineEnvelope, evaluations: int, published: Envelope
) -> tuple[Float[np.ndarray, " step"], Float[np.ndarray, " step"]]:
    """Return our envelope at the steps of the published one, and at its own end.

    Between the steps of a coarse grid a falling curve is interpolated from above: on a finer one,
    ours would look faster than it is.
    """
    last = float(ours.sweep.steps[-1])
    grid = np.append(published.steps[published.steps < last], last)
    return grid, ours.curve(evaluations, onto=(ours.sweep.steps, grid))


def loss_at(ours: BaselineEnvelope, evaluations: int, published: Envelope, steps: int) -> float:
    """Return what :func:`at_published_steps` has reached at a step; NaN if ours ends before."""
    grid, reached = at_published_steps(ours, evaluations, published)
    return float(np.interp(steps, grid, reached, right=np.nan))


def published_table(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Put rows of :func:`published_rows` of all tasks into a table; empty if there are none."""
    return pd.DataFrame(rows, columns=list(PUBLISHED_COLUMNS))
