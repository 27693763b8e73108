"""Tasks on which one side learns nothing, or neither does: noise is no speedup."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from handmade import curves
from synthetic import Candidate, make, summarize

from velodrome.results.analyses.equal_steps import after_equal_steps
from velodrome.results.analyses.headline import headlines
from velodrome.results.analyses.verdict import advice
from velodrome.results.report.data import ReportData, collect
from velodrome.results.report.figures import drawing, sensitivity
from velodrome.results.report.tables import NOTHING, task_table
from velodrome.results.report.write import report
from velodrome.results.speedup.baseline import BaselineRuns
from velodrome.results.speedup.comparison import compare
from velodrome.results.speedup.definitions import DEFINITIONS
from velodrome.results.speedup.progress import (
    SweepNoise,
    evaluation_noise,
    least_fall,
    sweep_makes_progress,
)
from velodrome.results.speedup.speedup import speedup
from velodrome.results.store.store import Store

STARTS = (2.301159, 2.310145, 2.303925)
ENDS = (2.301161, 2.310149, 2.303925)
RATES = (1e-4, 1e-3, 3e-3, 1e-2)


@pytest.mark.parametrize("definition", sorted(DEFINITIONS))
def test_noise_of_the_initialisation_is_no_speedup(definition: str):
    """Seeds that stay where they began, two of them below the seed mean of Adam's first loss."""
    still = np.linspace(STARTS, ENDS, 21).T
    adam = np.linspace(STARTS, np.array(STARTS) - 1e-6, 101).T  # at its best rate, 1e-7
    found = speedup(curves(adam, rates=[1e-7]), curves(still), definition=definition)
    assert found.ratio == 0 and not found.progress and found.censored == "left"
    assert not BaselineRuns(curves(adam, rates=[1e-7]).sweep()).progress(20)
    # Who learns where Adam does not has won, by at least what the budget can show.
    learned = curves(np.linspace(STARTS, np.array(STARTS) - 0.02, 21).T)
    won = speedup(curves(adam, rates=[1e-7]), learned, definition=definition)
    assert won.ratio == 5.0 and won.censored == "right" and won.progress
    # Who does not learn where Adam does has lost, wherever the seeds began.
    works = np.linspace(STARTS, np.array(STARTS) - 1.0, 101).T
    lost = speedup(curves(works, rates=[1e-3]), curves(still), definition=definition)
    assert lost.ratio == 0 and lost.censored == "left" and not lost.diverged


def test_evaluation_noise_is_neither_a_trend_nor_a_spike():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.05, (3, 2_000))
    falling = 2.0 * np.exp(-np.arange(2_000) / 500)
    assert evaluation_noise(2.0 + noise) == pytest.approx(0.05, rel=0.1)
    assert evaluation_noise(2.0 + falling + noise) == pytest.approx(0.05, rel=0.15)
    assert evaluation_noise(falling[None]).item() == 0
    spiky = np.where(np.arange(2_000) % 100 == 50, 9.0, falling)
    assert evaluation_noise(spiky[None]).item() == 0
    lost = np.where(np.arange(2_000) > 1_000, np.inf, falling)
    assert least_fall(lost[None], SweepNoise(0.0, 3.0)).item() == pytest.approx(0.002)


@pytest.mark.parametrize("evaluations", [3, 5, 11, 21, 101])
@pytest.mark.parametrize("seeds", [1, 3])
def test_noise_is_no_progress_and_a_fall_is(evaluations: int, seeds: int):
    """At 15 rates with a common first loss, whatever the number of evaluations."""
    rng = np.random.default_rng(0)
    present = np.ones((15, seeds), bool)

    def progress(fall: float) -> bool:
        losses = 2.3 + rng.normal(0, 0.02, (15, seeds, evaluations))
        losses[:, :, 0] = losses[0, :, 0]
        losses[4] -= fall * np.linspace(0, 1, evaluations)  # a single rate learns
        noise = SweepNoise.of(losses)
        return sweep_makes_progress(losses, present, noise, within=evaluations)

    assert sum(progress(0.0) for _ in range(200)) <= 10
    assert sum(progress(1.0) for _ in range(200)) >= 190


@pytest.mark.parametrize("evaluations", [3, 11, 101])
def test_noise_of_a_candidate_is_no_speedup(evaluations: int):
    rng = np.random.default_rng(0)
    won = 0
    for _ in range(100):
        losses = 2.3 + rng.normal(0, 0.02, (16, evaluations))
        losses[:, 0] = losses[0, 0]
        adam = curves(losses[:15], rates=list(np.geomspace(1e-7, 1.0, 15)))
        won += speedup(adam, curves(losses[15:])).ratio > 0
    assert won <= 5


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Task 0: nobody learns; 1: only VeLO does; 2: only Adam does; the others as usual."""
    return make(
        tmp_path_factory.mktemp("store"),
        [
            Candidate("velo", [4.0, 4.0, 4.0, 2.0, 2.0], label="VeLO (velo-tiny)"),
            Candidate("lion", [4.0, 4.0, 4.0, 0.5, 0.5], label="Lion"),
        ],
        rates=RATES,
        still=[
            *(("adam", task) for task in (0, 1)),
            *(("velo", task) for task in (0, 2)),
            *(("lion", task) for task in (0, 1, 2)),
        ],
    ).store


@pytest.fixture(scope="module")
def data(store: Store) -> ReportData:
    return collect(store)


def test_a_task_on_which_nobody_learns_is_listed_and_in_no_number(store: Store, data: ReportData):
    rows = summarize(store).set_index(["label", "index"])
    velo, lion = rows.loc["VeLO (velo-tiny)"], rows.loc["Lion"]
    assert list(velo["status"]) == ["no progress", "censored", "ok", "ok", "ok"]
    assert list(lion["status"]) == ["no progress", "no progress", "ok", "ok", "ok"]
    assert np.isnan(velo["speedup_steps_default"][0]) and np.isfinite(velo["candidate_train"][0])
    assert velo["notes"][0] == "neither VeLO (velo-tiny) nor any rate of Adam makes progress"
    assert velo["speedup_steps_default"][1] == 5.0 and "no rate of the baseline" in velo["notes"][1]
    assert velo["speedup_steps_default"][2] == 0.0 and velo["notes"][2] == "makes no progress"
    assert list(velo["baseline_progress"]) == [False, False, True, True, True]
    assert list(velo["candidate_progress"]) == [False, True, False, True, True]
    found = {
        h.label: h for h in headlines(data.results) if h.unit == "steps" and h.split == "train"
    }
    assert found["VeLO (velo-tiny)"].tasks == 4 and found["Lion"].tasks == 3
    assert found["Lion"].counts["no progress"] == 2
    assert 0 not in set(data.time_to_loss["index"]) and max(data.anytime["tasks"]) == 4


def test_a_sweep_that_does_not_learn_has_no_best_rate(data: ReportData):
    tasks = data.summary.drop_duplicates("index").set_index("index")
    assert tasks["best_rate"].isna().tolist() == [True, True, False, False, False]
    assert not tasks.loc[[0, 1], ["best_rate_at_edge", "best_rate_at_budget_at_edge"]].any(
        axis=None
    )
    adam = data.sensitivity.loc[data.sensitivity["index"] < 2]
    assert len(adam) and not adam[["progress", "near_best", "edge"]].any(axis=None)
    found = advice(data.sensitivity, "Adam", steps=data.context.steps)
    assert found is not None and found.tasks == 3
    table = task_table(data.summary, baseline="Adam")
    column = table.header.index("Adam's best rate")
    assert [row[column] for row in table.rows[:4]] == [NOTHING] * 4
    (heat, *_) = sensitivity.plots(data)
    marks = [line for line in heat.figure().axes[0].lines if line.get_marker() == "o"]
    assert len(marks) == 3


def test_nobody_is_fast_on_a_task_on_which_nobody_learns(store: Store, data: ReportData):
    found = {task.task.index: after_equal_steps(task) for task in compare(store)}
    assert found[0] == ()
    times = {index: [runs.times for runs in task] for index, task in found.items()}
    assert [np.isinf(t).all() for t in times[1]] == [True, False, True]
    assert [np.isinf(t).all() for t in times[2]] == [False, True, True]
    assert all((t >= 10).all() for task in times.values() for t in task)  # the first evaluation
    assert np.isfinite(data.profile_scores["score"].to_numpy()).all()
    keys = zip(data.pairs["label"], data.pairs["other"], strict=True)
    tasks = dict(zip(keys, data.pairs["tasks"], strict=True))
    assert tasks["VeLO (velo-tiny)", "Adam"] == 4 and tasks["Lion", "Adam"] == 3


def test_no_file_of_a_report_says_nan(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # The figures have the same text in all formats.
    monkeypatch.setattr(drawing, "_METADATA", {".svg": drawing._METADATA[".svg"]})
    files = report(store.directory, tmp_path)
    written = list(files.directory.iterdir())
    assert {path.suffix for path in written} == {".csv", ".svg", ".md", ".html"}
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w-])nan(?![\w-])", text, re.IGNORECASE), path.name
    page, text = (files.page.read_text("utf-8"), files.markdown.read_text("utf-8"))
    assert "On 2 of 5 tasks an optimizer makes no progress, nor does Adam" in text
    assert "more than 0.1% of it, and by more than noise alone would make the lowest" in text
    assert "no progress" in page and "neither Lion nor any rate of Adam makes progress" in text
    for name, columns in (("profile", ["share", "low", "high"]), ("pairs", ["probability"])):
        assert pd.read_csv(tmp_path / f"{name}.csv")[columns].notna().to_numpy().all()
