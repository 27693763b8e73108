"""Time to target, on curves whose answers are known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from handmade import curves
from synthetic import Candidate, make

import velodrome
from velodrome.cli import main
from velodrome.results.analyses.targets import Arrival, arrival_of, first_steps, ratio_of
from velodrome.results.report import write
from velodrome.results.report.data import collect
from velodrome.results.store.curves import Curves, LaneInfo
from velodrome.results.store.store import Store
from velodrome.results.store.target import Target

STEPS, MULTIPLE = 200, 5


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two tasks with true speedups of 4 and 0.5; on the first one seed diverges halfway."""
    return make(
        tmp_path_factory.mktemp("store") / "s",
        [Candidate("velo", [4.0, 0.5], label="VeLO"), Candidate("none", [1.0, 1.0])],
        rates=(1e-3, 3e-3, 1e-2, 1.0),
        noise=0.0,
        diverged=[("velo", 0, 1)],
        missing=[("none", 0), ("none", 1)],
    ).store


def known(index: int, value: float, *, speedup: float = 1.0, gap: float = 0.1) -> float:
    """The first evaluation at which the exponential of `synthetic.make` is at most ``value``."""
    tau = STEPS * MULTIPLE * (0.35 + 0.4 * ((index * 7) % 5) / 5) / speedup
    start = 2.0 + 0.6 * index
    floor = 0.2 * start
    return 10 * math.ceil(-tau * math.log((value - gap - floor) / (start - floor)) / 10)


def rows_of(store: Store, target: Target) -> pd.DataFrame:
    return collect(store, target=target).targets.set_index(["index", "label"])


def test_first_steps_and_ratios_of_exponentials(store: Store):
    rows = rows_of(store, Target(1.6))
    adam, velo = rows.loc[(0, "Adam")], rows.loc[(0, "VeLO")]
    assert adam["steps"] == known(0, 1.6) == 140  # of the best of four rates, found from all
    assert adam["point"] == "3e-3" and adam["status"] == "reached" and adam["reached"] == 3
    assert velo["steps"] == known(0, 1.6, speedup=4.0) == 40
    assert velo["steps_by_seed"] == "40, 40, 40" and velo["bound"] == ""
    assert velo["ratio_steps"] == pytest.approx(140 / 40)
    assert velo["seconds"] == pytest.approx(40 * 2e-3)
    assert velo["ratio_seconds"] == pytest.approx(140 / 40 / 2)
    assert math.isnan(adam["ratio_steps"])


def test_a_seed_that_diverges_never_arrives(store: Store):
    value = 0.8  # which the fast optimizer reaches only after half of its steps
    assert 100 < known(0, value, speedup=4.0) < STEPS
    velo = rows_of(store, Target(value)).loc[(0, "VeLO")]
    arrives = known(0, value, speedup=4.0)
    assert velo["steps_by_seed"] == f"{arrives}, not reached, {arrives}"
    assert velo["status"] == "some seeds" and velo["steps"] == arrives and velo["bound"] == ""


def test_who_is_not_followed_for_long_enough_has_a_bound(store: Store):
    slow = known(1, 2.0, speedup=0.5)
    assert slow > STEPS
    rows = rows_of(store, Target(2.0))
    velo = rows.loc[(1, "VeLO")]
    assert velo["status"] == "not reached" and velo["horizon"] == STEPS
    assert velo["point"] == ""
    assert velo["bound"] == "<=" and velo["ratio_steps"] == known(1, 2.0) / STEPS
    assert velo["ratio_steps"] > 0.5  # the truth, which the bound contains


def test_a_notebook_has_the_same_rows(store: Store):
    target = Target(1.6)
    found = velodrome.read_results(store.directory, target=target).targets
    pd.testing.assert_frame_equal(found, collect(store, target=target).targets)


def test_a_train_loss_has_its_own_steps(store: Store):
    rows = rows_of(store, Target(1.9, split="train"))
    assert rows.loc[(0, "Adam"), "steps"] == known(0, 1.9, gap=0.0) < known(0, 1.9)


def test_what_was_not_measured_or_not_run_is_said(store: Store):
    rows = rows_of(store, Target(0.9, "accuracy"))
    assert list(rows["status"]) == ["not measured", "not measured", "no runs"] * 2
    assert np.isnan(rows["ratio_steps"].to_numpy(float)).all()


def test_values_are_compared_as_they_are_stored():
    accuracy = Curves(
        np.array([0, 10, 20]),
        np.array([[0.1, 0.7, np.nan], [0.1, 0.69999, 0.8], [0.1, 0.2, 0.3]], np.float32),
        tuple(LaneInfo(seed=seed, lane=seed) for seed in range(3)),
        split="heldout",
        metric="accuracy",
    )
    np.testing.assert_array_equal(first_steps(accuracy, Target(0.7, "accuracy")), [10, 20, np.inf])
    losses = curves([[3.0, 2.0, 1.0, 2.0], [3.0, np.nan, 0.5, 0.5]], every=10)
    lost = LaneInfo(seed=1, lane=1, status="diverged", diverged_at=10)
    losses = Curves(losses.steps, losses.values, (losses.lanes[0], lost))
    np.testing.assert_array_equal(first_steps(losses, Target(1.0)), [20, np.inf])


def test_runs_that_were_given_up_or_are_missing_are_not_known():
    nan = np.nan
    three = curves(
        [[3, 2, 1, 1], [3, 2, 2, 1], [3, 2.5, nan, nan], [3, 2.5, 2.5, 2.5]], rates=[0.1, 0.3],
        every=10,
    )  # fmt: skip
    found = arrival_of(three, Target(1.0), planned=three.lanes)
    assert found.point == "1e-1" and list(found.steps) == [20, 30] and found.median == 25
    assert found.least == 20  # (10 + 30) / 2: the other rate was given up after 10 steps
    alone = arrival_of(three, Target(2.0), planned=three.lanes)
    assert alone.median == 10 and alone.least == 10  # nobody could have been earlier
    third = LaneInfo(seed=2, hyperparameters={"learning_rate": 0.1}, lane=4)
    missing = arrival_of(three, Target(1.0), planned=(*three.lanes, third))
    np.testing.assert_array_equal(missing.steps, [20, 30, nan])
    assert missing.median == 30 and missing.best == 1.0 and missing.horizon == 30


def at(median: float, least: float | None = None) -> Arrival:
    middle, low = float(median), float(median if least is None else least)
    return Arrival("", np.array([middle]), middle, low, 0.0, 0)


@pytest.mark.parametrize(
    ("baseline", "other", "ratio", "bound"),
    [
        (at(100), at(50), 2.0, ""),
        (at(np.inf, 400), at(50), 8.0, ">="),  # the baseline was followed to 400
        (at(np.inf, np.inf), at(50), np.nan, ""),  # all its runs have diverged
        (at(100), at(np.inf, 50), 2.0, "<="),
        (at(100), at(np.inf, np.inf), 0.0, ""),  # the other one has diverged
        (at(100, 80), at(50), 2.0, "<="),  # a rate that was given up at 80 may have been faster
        (at(100), at(50, 40), 2.0, ">="),
        (at(100, 80), at(50, 40), 2.0, "~"),
        (at(np.inf, 400), at(np.inf, 50), np.nan, ""),
        (at(0), at(0), np.nan, ""),  # met before the first update
        (at(100), at(np.inf, 0), np.nan, ""),  # runs of the other one are missing
        (at(100), at(50, 0), 2.0, ">="),
    ],
)
def test_ratios_know_what_they_do_not_know(baseline, other, ratio, bound):
    found, said = ratio_of(baseline, other)
    np.testing.assert_equal(found, ratio)
    assert said == bound


def test_a_report_has_the_targets_of_its_suite(store: Store, tmp_path: Path):
    made = make(tmp_path / "s", [Candidate("velo", [4.0, 0.5])], rates=(3e-3,), noise=0.0).store
    assert not len(collect(made).targets)
    (file,) = made.directory.glob("questions/*.json")
    content = json.loads(file.read_text())
    content["suite"]["tasks"][1]["target"] = {"value": 2.0}
    file.write_text(json.dumps(content))
    found = collect(Store.open(made.directory, read_only=True)).targets
    assert list(found["index"]) == [1, 1] and set(found["target"]) == {2.0}


def test_the_command_and_the_files(store: Store, tmp_path: Path, monkeypatch, capsys):
    out = tmp_path / "report"
    monkeypatch.setattr(write, "plots", lambda data: [])  # figures take a quarter of a minute
    assert main(["report", str(store.directory), "--out", str(out), "--target", "1.6"]) == 0
    text = (out / "report.md").read_text()
    assert "## Time to target" in text and "held-out loss <= 1.6" in text
    assert "| VeLO | held-out loss <= 1.6 | - | 40 (40, 40, 40) | 80 ms | " in text
    assert "| nan |" not in text and "not reached in 200" in text
    assert "no runs" in text and "held-out loss" in capsys.readouterr().out
    assert "≤ 1.6" in (out / "index.html").read_text()
    statuses = set(pd.read_csv(out / "targets.csv")["status"])
    assert statuses == {"reached", "not reached", "no runs"}
    assert main(["report", str(store.directory), "--target", "fast"]) == 2
