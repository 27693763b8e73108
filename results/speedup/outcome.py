"""One candidate on one task: its speedups, or why it has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from velodrome.foundation.canonical import canonical_json
from velodrome.foundation.errors import StoreError
from velodrome.results.speedup.definitions import DEFINITIONS
from velodrome.results.speedup.resample import SeedResamples, resample_seeds
from velodrome.results.speedup.speedup import BaselineEnvelope, Speedup, chosen_point, final_losses
from velodrome.results.store.cell import Cell
from velodrome.results.store.curves import Curves, Sweep
from velodrome.results.store.records import Failure, Timing

Status = Literal[
    "ok", "censored", "saturated", "no progress", "diverged", "incomplete", "failed", "missing"
]


@dataclass(frozen=True)
class Outcome:
    """One candidate on one task.

    Attributes:
      status: ``failed``, ``missing``, ``incomplete`` (the candidate has been run, but not all of
        the baseline's sweep, or nothing of it) and ``no progress`` (on neither side) have no
        speedup; otherwise the first that holds of ``diverged``, ``saturated``, ``censored`` (by
        the default definition), ``ok``.
      notes: What a reader should know: missing runs, why there are no seconds, ...
      speedups: Speedups by definition; empty when there are none.
      resamples: The default speedup under other draws of the seeds.
      step_time_ratio: Seconds per step over the baseline's, None if not measured.
      train: Runs of the candidate on the train split.
      heldout: Its runs on the held-out split.
      heldout_speedup: The default speedup of held-out losses, None without them at the horizon.
      heldout_resamples: That speedup under other draws of the seeds.
      point: The grid point of ``train`` that stands for the candidate, None without runs.
      progress: Whether most of its seeds made progress there.
    """

    cell: Cell
    status: Status
    notes: tuple[str, ...] = ()
    speedups: Mapping[str, Speedup] = field(default_factory=dict[str, Speedup])
    resamples: SeedResamples | None = None
    step_time_ratio: float | None = None
    train: Sweep | None = None
    heldout: Sweep | None = None
    heldout_speedup: Speedup | None = None
    heldout_resamples: SeedResamples | None = None
    point: int | None = None
    progress: bool = False

    @property
    def compared(self) -> bool:
        """Whether its runs stand beside all those of the baseline, with a speedup or without."""
        return bool(self.speedups) or self.status == "no progress"

    @property
    def cap(self) -> float:
        """The largest default speedup that could be observed, under any draw of the seeds."""
        cap, draws = self.speedups["default"].cap, self.resamples
        # Equal logarithms are of equal caps, which rounding may hide.
        lower = draws is not None and draws.cap_log2 < np.log2(cap)
        return float(np.exp2(draws.cap_log2)) if draws is not None and lower else cap

    @property
    def answered(self) -> bool:
        """Whether the baseline has reached all losses: on both splits, under all draws of seeds.

        Definitions that cannot decide are left aside, see ``Definition.decides``.
        """
        horizon = self.cell.horizon
        found = [s for name, s in self.speedups.items() if DEFINITIONS[name].decides(horizon)]
        found += [self.heldout_speedup] if self.heldout_speedup else []
        draws = [table for table in (self.resamples, self.heldout_resamples) if table]
        return all(s.reached for s in found) and not any(t.censored.any() for t in draws)


def outcome_of(
    cell: Cell,
    envelopes: Mapping[str, BaselineEnvelope],
    *,
    timing: Timing | None,
    timing_failure: Failure | None,
    saturated: bool,
) -> Outcome:
    """Return the outcome of a candidate whose baseline has been run.

    ``timing`` is its record of seconds per step, ``timing_failure`` why there is none.
    """
    train = read_sweep(cell, "train")
    if train is None:
        return absent(cell, cell, cell.label)
    missing = missing_runs(cell, train)
    notes = [missing] if missing else []
    default = envelopes["default"]
    try:
        speedups = {n: e.speedup_of(train, horizon=cell.horizon) for n, e in envelopes.items()}
        resamples = resample_seeds(default, train, horizon=cell.horizon)
    except StoreError as error:  # other steps: one bad cell must not hide the rest
        return Outcome(cell, "failed", (str(error),))
    found = speedups["default"]
    ratio, reason = step_time_ratio(timing)
    if cell.optimizer.imported:
        ratio, reason, timing_failure = None, "no seconds: its curves are imported", None
    if reason and timing_failure is not None:
        reason = f"no seconds: the timing failed ({_reason(timing_failure)})"
    if reason:
        notes.append(reason)
    if found.seeds_diverged and not found.diverged:
        notes.append(f"{found.seeds_diverged} of {len(found.seeds)} seeds diverged")
    learns = default.runs.progress(cell.horizon)
    if found.censored == "left" and learns:
        why = "ends no lower than the untrained network"
        notes.append(why if found.progress else "makes no progress")
    elif not learns and found.ratio > 0:
        notes.append("makes progress where no rate of the baseline does: a bound")
    if default.runs.lost:
        notes.append("every rate of the baseline diverged")
    status: Status = "ok"
    if found.diverged:
        status = "diverged"
    elif not learns and found.ratio == 0:
        status = "no progress"
    elif saturated:
        status = "saturated"
    elif found.censored == "right":
        status = "censored"
    heldout = read_sweep(cell, "heldout")
    return Outcome(
        cell, status, tuple(notes), speedups, resamples, ratio, train, heldout,
        point=found.point, progress=found.progress,
    )  # fmt: skip


def absent(candidate: Cell, cell: Cell, who: str) -> Outcome:
    """Return a candidate's outcome when ``cell``, its own or its baseline's, has no runs."""
    if cell.failures:
        return Outcome(candidate, "failed", (f"{who} failed ({'; '.join(_reasons(cell))})",))
    if cell.shards:
        return Outcome(candidate, "failed", (f"{who}: the files are damaged or have no losses",))
    return Outcome(candidate, "missing", (f"{who} has not been run",))


def with_heldout(outcome: Outcome, envelope: BaselineEnvelope) -> Outcome:
    """Add the speedup in held-out losses, if these were measured at the outcome's horizon."""
    heldout, horizon = outcome.heldout, outcome.cell.horizon
    if heldout is None:
        return outcome
    # A run that diverged may end early, and counts; other runs must have been evaluated last.
    if heldout.horizon != horizon and not heldout.diverged.any():
        return outcome
    try:
        return replace(
            outcome,
            heldout_speedup=envelope.speedup_of(heldout, horizon=horizon),
            heldout_resamples=resample_seeds(envelope, heldout, horizon=horizon),
        )
    except StoreError:  # evaluated at other steps than the baseline: nothing to compare
        return outcome


def without_speedup(outcome: Outcome, status: Status, why: str) -> Outcome:
    """Remove the verdict, and say why; keep the candidate's own runs."""
    if not outcome.speedups:
        return replace(outcome, notes=(*outcome.notes, why))
    return replace(
        outcome,
        status=status,
        notes=(why, *outcome.notes),
        speedups={},
        resamples=None,
        heldout_speedup=None,
        heldout_resamples=None,
    )


def without_baseline(cell: Cell, why: str) -> Outcome:
    """Return an outcome with the candidate's own runs and no verdict, for want of a baseline."""
    train = read_sweep(cell, "train")
    if train is None:
        own = absent(cell, cell, cell.label)
        return replace(own, notes=(*own.notes, why))
    missing = missing_runs(cell, train)
    losses = final_losses(train, DEFINITIONS["default"], horizon=cell.horizon)
    return Outcome(
        cell,
        "incomplete",
        (why, missing) if missing else (why,),
        train=train,
        heldout=read_sweep(cell, "heldout"),
        point=chosen_point(losses, train.present),
    )


def missing_runs(cell: Cell, sweep: Sweep) -> str:
    """Say how many of the planned runs have no curve, and why; empty when all have one."""
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


def median_seconds(timing: Timing | None, *, baseline: bool = False) -> float:
    """Return the seconds per step in a timing record; NaN if there is no positive median."""
    if timing is None:
        return float("nan")
    side = timing.get("baseline_seconds_per_step" if baseline else "seconds_per_step")
    value = side.get("median", 0.0) if side else 0.0
    return value if value > 0 else float("nan")


def step_time_ratio(timing: Timing | None) -> tuple[float | None, str]:
    """Return candidate's over baseline's seconds per step in one measurement, or why not."""
    if timing is None:
        return None, "no seconds: the step time was not measured"
    ratio = median_seconds(timing) / median_seconds(timing, baseline=True)
    if np.isnan(ratio):
        return None, "no seconds: the timing has no positive step time of both optimizers"
    return ratio, ""


def read_sweep(cell: Cell, split: str) -> Sweep | None:
    """Return the runs of a cell on a split; None if none of them has a loss or has diverged."""
    curves, own_seeds = cell.curves(split=split), cell.optimizer.imported
    if curves.lanes and not len(curves.steps) and all(x.status == "diverged" for x in curves.lanes):
        # Lost before the first evaluation: a run without a loss, but a run.
        steps, values = np.zeros(1, dtype=np.int64), np.full((len(curves.lanes), 1), np.nan)
        curves = Curves(steps, values, curves.lanes, split=split)
    return replace(curves.sweep(), own_seeds=own_seeds) if curves.values.size else None


def _reasons(cell: Cell) -> list[str]:
    return sorted({_reason(failure) for failure in cell.failures})


def _reason(failure: Failure) -> str:
    return f"{failure.get('kind', 'error')}: {failure.get('message', '')}"
