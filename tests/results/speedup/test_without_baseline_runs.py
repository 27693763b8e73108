"""Candidates whose baseline has no runs: their own losses are there, and no verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from plans import with_shard
from synthetic import Candidate, make

import velodrome
from velodrome.results.analyses.summary import table, task_rows
from velodrome.results.report.data import collect
from velodrome.results.report.figures import learning_curves
from velodrome.results.report.tables import task_table
from velodrome.results.report.text import markdown
from velodrome.results.speedup.comparison import compare

RATES = (1e-3, 3e-3)


def test_a_candidate_alone_is_incomplete_and_has_its_losses(tmp_path: Path):
    made = make(tmp_path, [Candidate("velo", [2.0, 3.0])], rates=RATES, missing=[("adam", 0)],
                failed=[("adam", 1)])  # fmt: skip
    data = collect(made.store)
    rows = data.summary.to_dict("records")
    assert [row["status"] for row in rows] == ["incomplete"] * 2
    assert rows[0]["notes"] == "the baseline has not been run"
    assert rows[1]["notes"] == "the baseline failed (oom: out of memory)"
    whole = collect(make(tmp_path / "whole", [Candidate("velo", [2.0, 3.0])], rates=RATES).store)
    for name in ("candidate_train", "candidate_heldout"):
        assert data.summary[name].to_list() == whole.summary[name].to_list()
    assert np.isnan(data.summary["speedup_steps_default"].to_numpy(float)).all()
    header, cells = task_table(data.summary, baseline="Adam")
    for row, line in zip(rows, cells, strict=True):
        assert line[header.index("loss")] == f"{row['candidate_train']:.3g}"
    assert {headline.tasks for headline in data.headlines} == {0}
    assert {h.counts["incomplete"] for h in data.headlines} == {2}
    assert f"{rows[0]['task']}, velo: incomplete: the baseline has not been run" in markdown(data)


def test_what_has_not_been_run_is_still_missing(tmp_path: Path):
    nothing = [("adam", 0), ("velo", 0), ("adam", 1)]
    made = make(tmp_path, [Candidate("velo", [2.0, 2.0])], rates=RATES, missing=nothing,
                failed=[("velo", 1)])  # fmt: skip
    rows = collect(made.store).summary.to_dict("records")
    assert [row["status"] for row in rows] == ["missing", "failed"]
    assert rows[0]["notes"] == "velo has not been run; the baseline has not been run"
    assert rows[1]["notes"].startswith("velo failed (oom: out of memory); the baseline has")


def test_a_store_that_does_not_plan_a_baseline(tmp_path: Path):
    made = make(tmp_path, [Candidate("velo", [2.0])], rates=RATES)
    (task,) = compare(made.store, cells=[c for c in made.store.cells() if c.name == "velo"])
    (outcome,) = task.outcomes
    assert outcome.status == "incomplete" and outcome.train is not None and outcome.point == 0
    assert "there is no baseline" in outcome.notes[0] and not outcome.speedups


def test_missing_runs_are_noted(tmp_path: Path):
    made = make(tmp_path, [Candidate("velo", [2.0])], rates=RATES, missing=[("adam", 0)])
    cell = next(cell for cell in made.store.cells() if cell.name == "velo")
    plan = with_shard(made.store.plan, cell.id, seed=9)
    store = made.store.asked(made.store.manifest, plan)
    (task,) = compare(store)
    assert "1 of 4 runs of velo are missing" in task.outcomes[0].notes[1]


def test_a_whole_report_is_written(tmp_path: Path):
    """One candidate diverges, the other does not."""
    candidates = [Candidate("velo", [2.0]), Candidate("lion", [2.0])]
    lost = [("velo", 0, seed) for seed in range(3)]
    make(tmp_path, candidates, rates=RATES, missing=[("adam", 0)], diverged=lost)
    files = velodrome.report(tmp_path)
    rows = files.data.summary.set_index("label")
    assert list(rows["status"]) == ["incomplete"] * 2
    assert np.isinf(rows.loc["velo", "candidate_train"])
    assert np.isfinite(rows.loc["lion", "candidate_train"])
    assert "There are no speedups: Adam" in files.markdown.read_text()


def test_a_summary_without_any_baseline_can_be_drawn(tmp_path: Path):
    made = make(tmp_path, [Candidate("velo", [2.0])], rates=RATES)
    alone = [cell for cell in made.store.cells() if cell.name == "velo"]
    (task,) = compare(made.store, cells=alone)
    rows = table(task_rows(task))
    assert rows["budget"].to_list() == [None]
    data = collect(made.store)
    figure = learning_curves.draw(data.curves.iloc[:0], rows, data.context)
    assert figure.axes[0].get_title(loc="left") == rows["task"].iloc[0]
