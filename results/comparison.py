"""Every candidate of a store against the baseline, task by task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from foundation.canonical import canonical_json
from foundation.errors import StoreError
from results.cell import Cell
from results.curves import Curves, Sweep
from results.definitions import DEFINITIONS
from results.resample import SeedResamples, resample_seeds
from results.speedup import Race, Speedup
from results.store import Store

Status = Literal["ok", "censored", "saturated", "diverged", "incomplete", "failed", "missing"]
SATURATED_BELOW = 0.02
"""A task is saturated if its baseline falls below this share of its initial train loss."""


@dataclass(frozen=True)
class Outcome:
    """One candidate on one task.

    Attributes:
      cell: its cell.
      status: ``failed``, ``missing`` and ``incomplete`` (the candidate has been run, but not all
        of the baseline's sweep) have no speedup; otherwise the first that holds of ``diverged``,
        ``saturated``, ``censored`` (by the default definition), ``ok``.
      notes: what a reader should know: missing runs, why there are no seconds, ...
      speedups: by definition; empty when there are none.
      resamples: the default speedup under other draws of the seeds.
      step_time_ratio: seconds per step over the baseline's, None if not measured.
      train: runs of the candidate on the train split.
      heldout: the same on the held-out split.
      heldout_speedup: the default speedup of held-out losses, None without them at the horizon.
      heldout_resamples: the same under other draws of the seeds.
      point: the grid point of ``train`` that stands for the candidate, None without runs.
    """

    cell: Cell
    status: Status
    notes: tuple[str, ...] = ()
    speedups: Mapping[str, Speedup] = field(default_factory=dict)
    resamples: SeedResamples | None = None
    step_time_ratio: float | None = None
    train: Sweep | None = None
    heldout: Sweep | None = None
    heldout_speedup: Speedup | None = None
    heldout_resamples: SeedResamples | None = None
    point: int | None = None


@dataclass(frozen=True)
class TaskComparison:
    """All candidates on one task.

    Attributes:
      task: ``{index, label, family, hash}``.
      baseline: the baseline's cell, None if it was not planned.
      races: the baseline's side by definition; empty when it has no curves.
      heldout: the baseline's runs on the held-out split.
      saturated: see ``SATURATED_BELOW``; False when the sweep is incomplete.
      outcomes: one per candidate, in the plan's order.
      incomplete: why some planned runs of the baseline are not there; empty when all are.
    """

    task: Mapping[str, Any]
    baseline: Cell | None
    races: Mapping[str, Race]
    heldout: Sweep | None
    saturated: bool
    outcomes: tuple[Outcome, ...]
    incomplete: str = ""


def compare(store: Store, *, cells: Iterable[Cell] | None = None) -> Iterator[TaskComparison]:
    """Goes through the tasks in the plan's order, holding the curves of one at a time.

    Nothing planned is left out: a candidate without results has an outcome that says so.

    Args:
      store: the results.
      cells: of :func:`labelled_cells`, if they have been listed already.
    """
    name = str(store.manifest.get("protocol", {}).get("baseline", "adam"))
    timings, untimed = store.timings, store.timing_failures
    tasks: dict[str, list[Cell]] = {}
    for cell in labelled_cells(store) if cells is None else cells:
        tasks.setdefault(str(cell.task["hash"]), []).append(cell)
    for cells in tasks.values():
        baseline = max((c for c in cells if c.name == name), key=lambda c: c.horizon, default=None)
        yield _compare_task(baseline, [c for c in cells if c is not baseline], timings, untimed)


def is_saturated(race: Race) -> bool:
    """Whether the best baseline falls below 2% of its initial train loss within its budget.

    Taken from the default definition's oracle envelope at the baseline's own length.
    """
    reached = race.envelope(len(race.baseline.steps))
    return bool(reached[-1] < SATURATED_BELOW * reached[0])


def _compare_task(
    baseline: Cell | None,
    candidates: list[Cell],
    timings: Mapping[str, Mapping[str, Any]],
    untimed: Mapping[str, Mapping[str, Any]],
) -> TaskComparison:
    cells = [*candidates, *([baseline] if baseline else [])]
    train = _sweep(baseline, "train") if baseline else None
    races = _races(baseline, train) if baseline and train else {}
    # A sweep with holes is no baseline: without its best rate every candidate would win.
    incomplete = _incomplete(baseline, train) if baseline and train else ""
    saturated = bool(races) and not incomplete and is_saturated(races["default"])
    heldout = _sweep(baseline, "heldout") if baseline else None
    heldout_race = Race(heldout, budget=baseline.horizon) if baseline and heldout else None
    outcomes = []
    for cell in candidates:
        if baseline is None:
            note = "there is no baseline: run the suite with it among its optimizers"
            outcomes.append(Outcome(cell, "missing", (note,)))
            continue
        if train is None:
            outcomes.append(_absent(cell, baseline, "the baseline"))
            continue
        # The optimizers of a task are timed in turns: what stops one stops all of them.
        failures = [untimed[c.id] for c in (cell, baseline, *candidates) if c.id in untimed]
        failure = failures[0] if failures else None
        outcome = _outcome(cell, races, timings.get(cell.id), failure, saturated)
        if outcome.speedups and heldout_race is not None:
            outcome = _with_heldout(outcome, heldout_race)
        outcomes.append(_without_speedup(outcome, incomplete) if incomplete else outcome)
    return TaskComparison(
        task=cells[0].task,
        baseline=baseline,
        races=races,
        heldout=heldout,
        saturated=saturated,
        outcomes=tuple(outcomes),
        incomplete=incomplete,
    )


def _with_heldout(outcome: Outcome, race: Race) -> Outcome:
    """The outcome with its speedup in held-out losses, if they were taken at its horizon."""
    heldout, horizon = outcome.heldout, outcome.cell.horizon
    if heldout is None:
        return outcome
    # A run that diverged may end early, and counts; other runs must have been evaluated last.
    if heldout.horizon != horizon and not heldout.diverged.any():
        return outcome
    try:
        return replace(
            outcome,
            heldout_speedup=race.against(heldout, horizon=horizon),
            heldout_resamples=resample_seeds(race, heldout, horizon=horizon),
        )
    except StoreError:  # evaluated at other steps than the baseline: nothing to compare
        return outcome


def _without_speedup(outcome: Outcome, incomplete: str) -> Outcome:
    """The outcome against an incomplete sweep: the candidate's own runs, and no verdict."""
    if not outcome.speedups:
        return replace(outcome, notes=(*outcome.notes, incomplete))
    return replace(
        outcome,
        status="incomplete",
        notes=(incomplete, *outcome.notes),
        speedups={},
        resamples=None,
        heldout_speedup=None,
        heldout_resamples=None,
    )


def _races(baseline: Cell, train: Sweep) -> dict[str, Race]:
    return {n: Race(train, definition=n, budget=baseline.horizon) for n in DEFINITIONS}


def _outcome(
    cell: Cell,
    races: Mapping[str, Race],
    timing: Mapping[str, Any] | None,
    timing_failure: Mapping[str, Any] | None,
    saturated: bool,
) -> Outcome:
    train = _sweep(cell, "train")
    if train is None:
        return _absent(cell, cell, cell.label)
    missing = _incomplete(cell, train)
    notes = [missing] if missing else []
    try:
        speedups = {n: r.against(train, horizon=cell.horizon) for n, r in races.items()}
        resamples = resample_seeds(races["default"], train, horizon=cell.horizon)
    except StoreError as error:  # other steps: one bad cell must not hide the rest
        return Outcome(cell, "failed", (str(error),))
    found = speedups["default"]
    ratio, reason = step_time_ratio(timing)
    if reason and timing_failure is not None:
        reason = f"no seconds: the timing failed ({_reason(timing_failure)})"
    if reason:
        notes.append(reason)
    if found.seeds_diverged and not found.diverged:
        notes.append(f"{found.seeds_diverged} of {len(found.seeds)} seeds diverged")
    if found.censored == "left":
        notes.append("ends no lower than the untrained network")
    if not np.isfinite(races["default"].baseline.seed_mean()[:, -1]).any():
        notes.append("every rate of the baseline diverged")
    status: Status = "ok"
    if found.diverged:
        status = "diverged"
    elif saturated:
        status = "saturated"
    elif found.censored == "right":
        status = "censored"
    heldout = _sweep(cell, "heldout")
    return Outcome(
        cell,
        status,
        tuple(notes),
        speedups,
        resamples,
        ratio,
        train,
        heldout,
        point=found.point,
    )


def step_time_ratio(timing: Mapping[str, Any] | None) -> tuple[float | None, str]:
    """Candidate's over baseline's seconds per step in one measurement, or why there is none."""
    if timing is None:
        return None, "no seconds: the step time was not measured"
    try:
        ours = float(timing["seconds_per_step"]["median"])
        theirs = float(timing["baseline_seconds_per_step"]["median"])
    except (KeyError, TypeError, ValueError):
        return None, "no seconds: the timing has no step time of both optimizers"
    if not (ours > 0 and theirs > 0):
        return None, "no seconds: the timing has a step time that is not positive"
    return ours / theirs, ""


def _sweep(cell: Cell, split: str) -> Sweep | None:
    curves = cell.curves(split=split)
    if curves.lanes and not len(curves.steps) and all(x.status == "diverged" for x in curves.lanes):
        # Lost before the first evaluation: a run without a loss, but a run.
        steps, values = np.zeros(1, dtype=np.int64), np.full((len(curves.lanes), 1), np.nan)
        return Curves(steps, values, curves.lanes, split=split).sweep()
    return curves.sweep() if curves.values.size else None


def labelled_cells(store: Store) -> list[Cell]:
    """All cells; optimizers of one label, such as two files of weights, have their name in it."""
    found = list(store.cells())
    names: dict[str, set[str]] = {}
    for cell in found:
        names.setdefault(cell.label, set()).add(cell.name)
    return [
        replace(cell, optimizer={**cell.optimizer, "label": f"{cell.label} [{cell.name}]"})
        if len(names[cell.label]) > 1
        else cell
        for cell in found
    ]


def _absent(outcome_of: Cell, cell: Cell, who: str) -> Outcome:
    if cell.failures:
        return Outcome(outcome_of, "failed", (f"{who} failed ({'; '.join(_reasons(cell))})",))
    if cell.shards:
        return Outcome(outcome_of, "failed", (f"{who}: the files are damaged or have no losses",))
    return Outcome(outcome_of, "missing", (f"{who} has not been run",))


def _incomplete(cell: Cell, sweep: Sweep) -> str:
    """How many of the planned runs have no curve, and why; empty when all have one."""
    planned = {(run.point, run.seed) for run in cell.planned}
    there = {
        (canonical_json(dict(point)), seed)
        for point, row in zip(sweep.points, sweep.present, strict=True)
        for seed, present in zip(sweep.seeds, row, strict=True)
        if present
    }
    gone = len(planned - there)
    if not gone:
        return ""
    why = "; ".join(_reasons(cell)) or "not run yet, or the file is damaged"
    return f"{gone} of {len(planned)} runs of {cell.label} are missing ({why})"


def _reasons(cell: Cell) -> list[str]:
    """What went wrong in the cell, each thing once."""
    return sorted({_reason(failure) for failure in cell.failures})


def _reason(failure: Mapping[str, Any]) -> str:
    return f"{failure.get('kind', 'error')}: {failure.get('message', '')}"
