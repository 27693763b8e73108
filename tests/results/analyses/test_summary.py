"""The summary: a row for each task and candidate, and what it says where something is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from plans import with_shard
from synthetic import Candidate, eventful, make, of_name, summarize

from velodrome.results.analyses.summary import COLUMNS
from velodrome.results.report.data import collect
from velodrome.results.report.text import markdown
from velodrome.results.speedup.comparison import compare
from velodrome.results.speedup.outcome import step_time_ratio
from velodrome.results.store.records import Timing


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return summarize(eventful(tmp_path_factory.mktemp("store") / "s").store)


def test_every_planned_task_has_a_row_with_its_status(summary: pd.DataFrame):
    assert tuple(summary.columns) == COLUMNS
    assert list(summary["status"]) == [
        "ok", "ok", "ok", "censored", "saturated", "diverged", "failed", "missing",
    ]  # fmt: skip
    notes = list(summary["notes"])
    assert "1 of 3 seeds diverged" in notes[1]
    assert "no seconds: the step time was not measured" in notes[2]
    assert "every rate of the baseline diverged" in notes[2]
    assert "out of memory" in notes[6]
    assert "has not been run" in notes[7]


def test_speedups_are_the_true_ones(summary: pd.DataFrame):
    rows = summary.to_dict("records")
    steps = [row["speedup_steps_default"] for row in rows]
    assert steps[0] == pytest.approx(4.0, rel=0.05)
    assert steps[1] == pytest.approx(2.0, rel=0.05)
    assert steps[3] == 5.0 and rows[3]["censored_default"] == "right"
    assert steps[5] == 0.0 and rows[5]["diverged_default"]
    assert rows[0]["speedup_seconds_default"] == pytest.approx(steps[0] / 2)
    assert np.isnan(rows[2]["speedup_seconds_default"])
    assert np.isnan(steps[6]) and np.isnan(steps[7])
    assert {row["cap"] for row in rows[:6]} == {5.0}


def test_losses_and_rates(summary: pd.DataFrame):
    first = summary.to_dict("records")[0]
    assert first["best_rate"] == pytest.approx(3e-3) and not first["best_rate_at_edge"]
    assert first["initial_train"] == pytest.approx(2.0, rel=0.02)
    assert first["baseline_train"] > first["candidate_train"]
    assert first["baseline_train_at_budget"] < first["baseline_train"]
    assert first["candidate_heldout"] == pytest.approx(first["candidate_train"] + 0.1, abs=0.02)
    # The baseline's losses are there even where the candidate failed.
    assert summary.to_dict("records")[6]["baseline_train"] > 0


def test_the_edge_of_the_grid_is_flagged(tmp_path: Path):
    made = make(tmp_path, [Candidate("velo", [2.0])], rates=(1e-4, 3e-4, 1e-3, 3e-3))
    (row,) = summarize(made.store).to_dict("records")
    assert row["best_rate_at_edge"]


def test_missing_runs_of_a_candidate_are_noted(tmp_path: Path):
    fresh = make(tmp_path / "s", [Candidate("velo", [2.0])])
    cell = of_name(fresh.store, "velo")
    plan = with_shard(fresh.store.plan, cell.id, seed=9)
    store = fresh.store.asked(fresh.store.manifest, plan)
    (task,) = compare(store)
    assert task.outcomes[0].status == "ok"
    assert "1 of 4 runs of velo are missing" in task.outcomes[0].notes[0]


def test_runs_without_any_loss_have_diverged(tmp_path: Path):
    made = make(tmp_path, [Candidate("velo", [2.0])], missing=[("velo", 0)])
    cell = next(cell for cell in made.store.cells() if cell.name == "velo")
    lanes = [
        {"lane": x.lane, "seed": x.seed, "hyperparameters": {}, "status": "diverged",
         "diverged_at": 0}
        for x in cell.planned
    ]  # fmt: skip
    nothing = {name: np.empty(0, int) for name in ("lane", "step", "split", "metric", "value")}
    about = {
        "id": cell.id, "task": dict(vars(cell.task)), "optimizer": dict(vars(cell.optimizer)),
        "horizon": 200,
    }  # fmt: skip
    data = dict(vars(cell.data))
    made.store.write_shard(f"{cell.id}-0", nothing, {"cell": about, "lanes": lanes, "data": data})
    (row,) = summarize(made.store).to_dict("records")
    assert row["status"] == "diverged" and row["speedup_steps_default"] == 0.0


def test_optimizers_of_one_label_stay_apart(tmp_path: Path):
    both = [Candidate("velo", [2.0], label="V"), Candidate("velo:b", [4.0], label="V")]
    rows = summarize(make(tmp_path, both).store)
    assert list(rows["label"]) == ["V [velo]", "V [velo:b]"]


@pytest.mark.parametrize("name", ["velo", "adam"])
def test_why_there_are_no_seconds(tmp_path: Path, name: str):
    """A task is timed as a whole, so the failure may be recorded under any of its cells."""
    store = make(tmp_path, [Candidate("velo", [2.0])], untimed=[("velo", 0)]).store
    store.write_timing_failure(of_name(store, name).id, "oom", "12 GB needed")
    data = collect(store)
    reason = "no seconds: the timing failed (oom: 12 GB needed)"
    assert list(data.summary["notes"]) == [reason]
    assert np.isnan(data.summary["speedup_seconds_default"].to_numpy(float)).all()
    assert reason in markdown(data)
    store.write_timing(of_name(store, "velo").id, {
        "seconds_per_step": {"median": 2.0}, "baseline_seconds_per_step": {"median": 1.0},
    })  # fmt: skip
    assert list(collect(store).summary["notes"]) == [""]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "not measured"),
        ({"seconds_per_step": {"median": 1.0}}, "of both"),
        (
            {"seconds_per_step": {"median": 0.0}, "baseline_seconds_per_step": {"median": 1.0}},
            "no positive",
        ),
    ],
)
def test_timings_that_say_nothing(record: Timing | None, reason: str):
    ratio, why = step_time_ratio(record)
    assert ratio is None and reason in why
