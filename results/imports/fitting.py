"""Runs of a foreign table, held against the steps of a protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from velodrome.foundation.canonical import canonical_json
from velodrome.foundation.errors import StoreError
from velodrome.results.imports.runs import SPLITS, ForeignRun
from velodrome.results.imports.table import ForeignTable
from velodrome.results.store.plan import Hyperparameters, Run

#: A message names at most this many missing steps.
_MOST_STEPS = 5


@dataclass(frozen=True)
class FittedRun:
    """A run at the steps of a protocol.

    Attributes:
      losses: By split, the losses by step; without those from its divergence on.
      left_out: How many values stand at other steps.
    """

    seed: int
    point: Hyperparameters
    losses: Mapping[str, Mapping[int, float]]
    diverged_at: int | None
    left_out: int

    @property
    def run(self) -> Run:
        return canonical_json(dict(self.point)), self.seed


def fitted(
    run: ForeignRun, table: ForeignTable, *, evaluations: Mapping[str, Sequence[int]], suite: str
) -> FittedRun:
    """Return a run at the steps at which a protocol evaluates; nothing is interpolated.

    Args:
      evaluations: By split, all steps of a whole run, ascending.
      suite: Its name, for messages.

    Raises:
      StoreError: The run lacks one of these steps, or goes on after the last one.
    """
    horizon, end = evaluations["train"][-1], run.diverged_at
    losses: dict[str, dict[int, float]] = {}
    left_out = 0
    if run.lost is not None and run.lost[1] > horizon:
        raise _too_long(table, *run.lost, horizon, suite)
    for split, role in SPLITS.items():
        found, due = run.losses[split], evaluations[split]
        if found and (last := max(found)) > horizon:
            raise _too_long(table, run.rows[split][last], last, horizon, suite)
        known = [step for step in due if end is None or step < end]
        missing = [step for step in known if step not in found]
        if split == "heldout" and not found:
            missing = []
        if missing:
            raise StoreError(_missing_text(run, table, role, missing, len(known), due, suite))
        losses[split] = {step: found[step] for step in known if step in found}
        left_out += len(found) - len(losses[split])
    return FittedRun(run.seed, run.point, losses, end, left_out)


def _too_long(table: ForeignTable, row: int, step: int, horizon: int, suite: str) -> StoreError:
    return StoreError(
        f"{table.place(row)}, is at step {step:,}, but a run of {suite} has {horizon:,}. Runs of "
        "other lengths do not compare: a schedule would be another one. If the optimizer does not "
        "know its horizon, remove the later rows"
    )


def _missing_text(
    run: ForeignRun,
    table: ForeignTable,
    role: str,
    missing: Sequence[int],
    known: int,
    due: Sequence[int],
    suite: str,
) -> str:
    shown = ", ".join(f"{step:,}" for step in missing[:_MOST_STEPS])
    more = ", ..." if len(missing) > _MOST_STEPS else ""
    point = f", {canonical_json(dict(run.point))}" if run.point else ""
    every = due[1] - due[0]
    return (
        f"{table.name}, seed {run.seed}{point}: no {role} at step {shown}{more} ({len(missing)} of "
        f"{known} are missing). {suite} evaluates every {every:,} updates from 0, and last after "
        f"{due[-1]:,}; step counts the updates that were made before the loss was taken. Nothing "
        "is interpolated: log the loss at these steps"
    )
