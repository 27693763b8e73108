"""Every candidate of a store against the baseline, task by task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from velodrome.results.speedup.baseline import BaselineRuns
from velodrome.results.speedup.definitions import DEFINITIONS
from velodrome.results.speedup.outcome import (
    Outcome,
    absent,
    missing_runs,
    outcome_of,
    read_sweep,
    with_heldout,
    without_baseline,
    without_speedup,
)
from velodrome.results.speedup.speedup import BaselineEnvelope
from velodrome.results.speedup.stages import Staging, Standing, standing
from velodrome.results.store.cell import Cell
from velodrome.results.store.curves import Sweep
from velodrome.results.store.plan import TaskRef
from velodrome.results.store.records import Failure, Timing
from velodrome.results.store.store import Store

SATURATED_BELOW = 0.02
"""A task is saturated if its baseline falls below this share of its initial train loss."""


@dataclass(frozen=True)
class TaskComparison:
    """All candidates on one task.

    Attributes:
      baseline: The baseline's cell, None if it was not planned.
      envelopes: The baseline's by definition; empty when it has no curves. Definitions that need
        the budget are left out if the sweep stopped before.
      heldout: The baseline's runs on the held-out split.
      horizon: Steps of the shortest candidate; of the baseline if there is none.
      saturated: See ``SATURATED_BELOW``; False when the sweep is incomplete.
      outcomes: One per candidate, in the plan's order.
      incomplete: Why some planned runs of the baseline are not there; empty when all are.
      standing: Where its sweep stands; None when it has no curves.
    """

    task: TaskRef
    baseline: Cell | None
    envelopes: Mapping[str, BaselineEnvelope]
    heldout: Sweep | None
    horizon: int
    saturated: bool
    outcomes: tuple[Outcome, ...]
    incomplete: str = ""
    standing: Standing | None = None

    @property
    def about(self) -> dict[str, object]:
        """The columns by which every table names the task: ``index``, ``task``, ``family``."""
        task = self.task
        return {"index": task.index, "task": task.label, "family": task.family}

    @property
    def learnable(self) -> bool:
        """Whether any optimizer makes progress, judged on all runs of the baseline's sweep."""
        ours = self.whole is not None and self.whole.runs.progress(self.horizon)
        return ours or any(outcome.progress for outcome in self.outcomes)

    @property
    def whole(self) -> BaselineEnvelope | None:
        """The baseline by the default definition; None unless all its planned runs are there."""
        return None if self.incomplete else self.envelopes.get("default")

    @property
    def decided(self) -> bool:
        """Whether a longer sweep of the baseline would change no speedup and no interval.

        Without a candidate only its budget ends it: other stores' candidates may need all of it.
        """
        if self.whole is None:
            return False
        runs, answered = self.whole.runs, [outcome.answered for outcome in self.outcomes]
        return runs.whole or (bool(answered) and all(answered) and runs.progress(self.horizon))

    @property
    def evaluations(self) -> int:
        """Evaluations of a run of the shortest candidate: they decide how curves are smoothed."""
        lengths = [len(o.train.steps) for o in self.outcomes if o.train is not None]
        return min(lengths, default=len(self.envelopes["default"].sweep.steps))


def compare(store: Store, *, cells: Iterable[Cell] | None = None) -> Iterator[TaskComparison]:
    """Go through the tasks in the plan's order, holding the curves of one at a time.

    Nothing planned is left out: a candidate without results has an outcome that says so. Pass
    the cells of :func:`labelled_cells` if they have been listed already.
    """
    staging, timings, untimed = Staging.of(store), store.timings, store.timing_failures
    tasks: dict[str, list[Cell]] = {}
    for cell in labelled_cells(store) if cells is None else cells:
        tasks.setdefault(cell.task.hash, []).append(cell)
    for cells in tasks.values():
        yield compare_task(cells, staging, timings=timings, untimed=untimed)


def is_saturated(envelope: BaselineEnvelope, horizon: int) -> bool:
    """Return whether the best baseline falls below 2% of its initial train loss within N steps.

    Taken from the default definition's oracle envelope. What it does after the candidates' N steps
    does not count: that depends on how far the sweep went.
    """
    until = envelope.sweep.evaluations(horizon)
    reached = envelope.curve(until)[:until]
    return bool(reached[-1] < SATURATED_BELOW * reached[0])


def compare_task(
    cells: Sequence[Cell],
    staging: Staging,
    *,
    timings: Mapping[str, Timing] = MappingProxyType({}),
    untimed: Mapping[str, Failure] = MappingProxyType({}),
) -> TaskComparison:
    """Compare the candidates among the cells of one task with the baseline."""
    mine = (cell for cell in cells if cell.name == staging.baseline)
    baseline = max(mine, key=lambda cell: cell.horizon, default=None)
    candidates = [cell for cell in cells if cell is not baseline]
    horizon = min((c.horizon for c in candidates), default=baseline.horizon if baseline else 0)
    heldout = in_heldout = at = None
    envelopes: dict[str, BaselineEnvelope] = {}
    nothing = "there is no baseline: run the suite with it among its optimizers"
    incomplete = too_short = ""
    if baseline is not None:
        train, heldout = read_sweep(baseline, "train"), read_sweep(baseline, "heldout")
        if train is None:
            (nothing,) = absent(baseline, baseline, "the baseline").notes
        else:
            at = standing(train, staging, horizon=horizon, budget=baseline.horizon)
            runs = BaselineRuns(train.until(at.end), baseline.horizon, known=at.end)
            envelopes = {
                name: BaselineEnvelope(runs, by)
                for name, by in DEFINITIONS.items()
                if runs.whole or not by.needs_budget
            }
            # A sweep with holes is no baseline: without its best rate every candidate would win.
            incomplete = missing_runs(baseline, train)
            if runs.end < horizon:
                too_short = f"{baseline.label} has made {runs.end:,} of {horizon:,} steps"
            incomplete = incomplete or too_short
            if heldout is not None:
                heldout = heldout.until(runs.end)
        if heldout is not None:
            # Evaluated last at the budget, and perhaps not where a sweep stopped before.
            known = baseline.horizon if at is not None and at.end >= baseline.horizon else None
            in_heldout = BaselineEnvelope(BaselineRuns(heldout, baseline.horizon, known=known))
    saturated = bool(envelopes) and not incomplete and is_saturated(envelopes["default"], horizon)
    outcomes: list[Outcome] = []
    for cell in candidates:
        if baseline is None or not envelopes or too_short:
            outcomes.append(without_baseline(cell, too_short or nothing))
            continue
        # The optimizers of a task are timed in turns: what stops one stops all of them.
        failures = (untimed[c.id] for c in (cell, baseline, *candidates) if c.id in untimed)
        outcome = outcome_of(
            cell,
            envelopes,
            timing=timings.get(cell.id),
            timing_failure=next(failures, None),
            saturated=saturated,
        )
        if outcome.speedups and in_heldout is not None:
            outcome = with_heldout(outcome, in_heldout)
        if incomplete:
            outcome = without_speedup(outcome, "incomplete", incomplete)
        elif outcome.status == "no progress":
            why = f"neither {cell.label} nor any rate of {baseline.label} makes progress"
            outcome = without_speedup(outcome, "no progress", why)
        outcomes.append(outcome)
    return TaskComparison(
        task=(candidates[0] if baseline is None else baseline).task,
        baseline=baseline,
        envelopes=envelopes,
        heldout=heldout,
        horizon=horizon,
        saturated=saturated,
        outcomes=tuple(outcomes),
        incomplete=incomplete,
        standing=at,
    )


def labelled_cells(store: Store) -> list[Cell]:
    """Return all cells; optimizers that share a label, such as two files of weights, get names."""
    found = list(store.cells())
    names: dict[str, set[str]] = {}
    for cell in found:
        names.setdefault(cell.label, set()).add(cell.name)
    return [
        replace(cell, optimizer=replace(cell.optimizer, label=f"{cell.label} [{cell.name}]"))
        if len(names[cell.label]) > 1
        else cell
        for cell in found
    ]
