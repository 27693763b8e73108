"""One row per task and candidate: the table that everything printed comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool

from velodrome.results.analyses.tuning import at_edge, point_learns, point_text, rate_of
from velodrome.results.speedup.comparison import TaskComparison
from velodrome.results.speedup.definitions import DEFINITIONS
from velodrome.results.speedup.envelope import best_point
from velodrome.results.speedup.outcome import Outcome
from velodrome.results.speedup.rate_search import note_of
from velodrome.results.speedup.resample import paired
from velodrome.results.speedup.speedup import BaselineEnvelope, seconds_ratio
from velodrome.results.speedup.stats import seed_interval
from velodrome.results.store.cell import Cell
from velodrome.results.store.curves import Sweep, seed_mean

COLUMNS = (
    "index", "task", "family", "data", "provenance", "optimizer", "label", "status",
    "saturated", "baseline_progress", "candidate_progress", "notes", "steps", "budget", "sweep_end",
    "decided", "seeds",
    "seeds_diverged", "paired", "best_rate", "best_rate_at_edge", "best_rate_at_budget",
    "best_rate_at_budget_at_edge", "best_point", "candidate_point", "candidate_point_at_edge",
    "initial_train", "baseline_train", "baseline_train_at_budget", "candidate_train",
    "initial_heldout", "baseline_heldout", "baseline_heldout_at_budget", "candidate_heldout",
    "cap", "step_time_ratio", "trials", "candidate_trials",
    "speedup_low", "speedup_high", "speedup_steps_heldout", "censored_heldout",
    *(
        f"{what}_{name}"
        for name in DEFINITIONS
        for what in ("speedup_steps", "speedup_seconds", "censored", "diverged")
    ),
)  # fmt: skip
"""Columns of the summary.

``*_progress`` says whether that side makes progress; see ``velodrome.results.speedup.progress``.
``steps`` is the candidate's horizon N, ``budget`` the baseline's. ``sweep_end`` is where its sweep
stopped, and ``decided`` says whether a longer one would change no speedup. ``best_rate`` has the
lowest seed-mean loss at N, ``best_rate_at_budget`` at the budget; columns at the budget are blank
where the sweep stopped before. ``*_at_edge`` says that some
number of that point is at an end of its grid, so that a better one may lie outside. Where the best
one makes no progress there is none, and no edge. ``best_point`` and ``candidate_point`` name all
that is swept at the best point of either side after N steps, and are blank without a sweep.
``baseline_train`` is the lowest loss over rates at step
N, ``baseline_train_at_budget`` that at the budget; the held-out columns are of the same rates.
Losses are smoothed as in the default definition: seed means for the baseline, the median over seeds
for the candidate. ``censored_*`` is "no", "right" or "left".
``paired`` says whether the candidate has the baseline's seeds, no more and no fewer, so that both
are drawn together. ``trials`` and ``candidate_trials`` are grid points of either side.
``speedup_low`` and ``speedup_high`` are the 95% interval of the default speedup in steps over draws
of the seeds, blank under 5 seeds; ``speedup_steps_heldout`` is the default speedup of held-out
losses.
Where the baseline's sweep is incomplete, its columns and the speedups are blank; where neither side
makes progress, the speedups are.
"""


def table(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Put rows of :func:`task_rows` into a table with all columns."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS))


def stopped_early(summary: pd.DataFrame) -> Bool[np.ndarray, " row"]:
    """Return in which rows the baseline's sweep stopped before its budget."""
    end, budget = (summary[name].to_numpy(float) for name in ("sweep_end", "budget"))
    return end < budget


def task_rows(task: TaskComparison) -> list[dict[str, object]]:
    """Return the rows of one task, one per candidate."""
    return [_row(task, outcome) for outcome in task.outcomes]


def _row(task: TaskComparison, outcome: Outcome) -> dict[str, object]:
    cell = outcome.cell
    row: dict[str, object] = {
        **task.about,
        "data": cell.data.name,
        "provenance": cell.data.provenance,
        "optimizer": cell.name,
        "label": cell.label,
        "status": outcome.status,
        "saturated": task.saturated,
        "notes": "; ".join([*outcome.notes, *_search_notes(cell, task.baseline)]),
        "steps": cell.horizon,
        "budget": task.baseline.horizon if task.baseline else None,
        "step_time_ratio": outcome.step_time_ratio,
    }
    if task.whole is not None:
        row |= _baseline_losses(task.whole, task.heldout, cell.horizon)
        row["baseline_progress"] = task.whole.runs.progress(task.horizon)
        row |= {"sweep_end": task.whole.runs.end, "decided": task.decided}
        if outcome.compared:
            row["candidate_progress"] = outcome.progress
        if outcome.speedups and outcome.train is not None:
            row["paired"] = paired(outcome.train, task.whole.sweep)
    return row | _candidate_losses(task, outcome) | _speedups(outcome)


def _search_notes(*cells: Cell | None) -> list[str]:
    notes = [note_of(cell.search, cell.label) for cell in cells if cell is not None]
    return [note for note in notes if note]


def _baseline_losses(
    baseline: BaselineEnvelope, heldout: Sweep | None, horizon: int
) -> dict[str, object]:
    sweep, nothing = baseline.sweep, float("nan")
    # Evaluations of the candidate, also when it failed: they decide how the baseline is smoothed.
    until = sweep.evaluations(horizon)
    rates, noise = baseline.rates(until), baseline.runs.noise(horizon)
    at_horizon = best_point(rates[:, :until])
    at_budget = best_point(rates) if baseline.runs.whole else None

    row: dict[str, object] = {"trials": len(rates), "best_point": ""}
    for name, point, end in (
        ("best_rate", at_horizon, until), ("best_rate_at_budget", at_budget, len(sweep.steps)),
    ):  # fmt: skip
        if point is None:
            continue
        known = point_learns(sweep, baseline.smoothed(until), point, end, noise)
        row[name] = rate_of(sweep.points[point]) if known else nothing
        row[f"{name}_at_edge"] = known and at_edge(sweep.points, point)
        if name == "best_rate" and known:
            row["best_point"] = point_text(sweep.points, point)
    row |= {
        "initial_train": rates[at_horizon, 0],
        "baseline_train": rates[at_horizon, until - 1],
        "baseline_train_at_budget": nothing if at_budget is None else rates[at_budget, -1],
    }
    if heldout is not None:
        end = heldout.evaluations(horizon)
        smooth = baseline.definition.smooth_baseline(heldout.losses, candidate_evaluations=end)
        means = seed_mean(smooth, heldout.present)
        row |= {
            "initial_heldout": means[at_horizon, 0],
            # Only if it was evaluated after just as many steps as the candidate.
            "baseline_heldout": means[at_horizon, end - 1]
            if heldout.steps[end - 1] == horizon
            else nothing,
            "baseline_heldout_at_budget": nothing if at_budget is None else means[at_budget, -1],
        }
    return row


def _candidate_losses(task: TaskComparison, outcome: Outcome) -> dict[str, object]:
    row: dict[str, object] = {}
    learns = outcome.progress or not task.envelopes  # only the baseline's runs say what is noise
    for split, sweep in (("train", outcome.train), ("heldout", outcome.heldout)):
        if sweep is not None and outcome.point is not None:
            last = DEFINITIONS["default"].smooth_candidate(sweep.losses)[outcome.point, :, -1]
            row[f"candidate_{split}"] = float(np.median(last[sweep.present[outcome.point]]))
            if split == "train" and np.isfinite(last).any() and learns:
                row["candidate_point"] = point_text(sweep.points, outcome.point)
                row["candidate_point_at_edge"] = at_edge(sweep.points, outcome.point)
    return row


def _speedups(outcome: Outcome) -> dict[str, object]:
    if not outcome.speedups:
        return {}
    found = outcome.speedups["default"]
    row: dict[str, object] = {
        "seeds": len(found.seeds),
        "seeds_diverged": found.seeds_diverged,
        "cap": outcome.cap,
        "candidate_trials": 1 if outcome.train is None else len(outcome.train.points),
    }
    heldout = outcome.heldout_speedup
    if heldout is not None:
        row |= {"speedup_steps_heldout": heldout.ratio, "censored_heldout": heldout.censored}
    if outcome.resamples is not None:
        low, high = seed_interval(outcome.resamples, seeds=len(found.seeds))
        row |= {"speedup_low": low, "speedup_high": high}
    for name, speedup in outcome.speedups.items():
        row |= {
            f"speedup_steps_{name}": speedup.ratio,
            f"speedup_seconds_{name}": seconds_ratio(speedup.ratio, outcome.step_time_ratio),
            f"censored_{name}": speedup.censored,
            f"diverged_{name}": speedup.diverged,
        }
    return row
