"""The table of other lengths, widths and horizons says what the stores say."""

from __future__ import annotations

import numpy as np
import pytest

from scripts import generalisation
from tests.results import synthetic
from velodrome.results.report.data import collect


def test_a_width_is_read_from_the_name():
    assert generalisation.width("mlp-00-mnist5k-x16") == 16
    assert generalisation.width("cnn-01-photos-new-data") == 1


def test_a_row_for_each_width_and_optimizer(tmp_path, monkeypatch, capsys):
    fast, slow = synthetic.Candidate("fast", [2.0] * 4), synthetic.Candidate("slow", [0.5] * 4)
    made = synthetic.make(tmp_path / "some", [fast, slow], noise=0.0, rates=(1e-3, 3e-3, 1e-2))
    summary = collect(made.store, points=2).summary
    of_mlp = list(summary.loc[summary["family"] == "mlp", "task"])
    monkeypatch.setattr(generalisation, "width", lambda task: 1 if task in of_mlp else 4)
    assert generalisation.main([str(tmp_path / "some")]) == 0
    printed = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert printed[0] == list(generalisation.COLUMNS)
    body = printed[2:]
    assert [row[:5] for row in body] == [
        ["some", "200", "x1", "fast", "1 of 1"],
        ["some", "200", "x1", "slow", "1 of 1"],
        ["some", "200", "x4", "fast", "3 of 3"],
        ["some", "200", "x4", "slow", "3 of 3"],
    ]
    for row in body:
        true = {"fast": 2.0, "slow": 0.5}[row[3]]
        assert float(row[5].partition("x")[0]) == pytest.approx(true, rel=0.05)
        mine = summary.loc[
            (summary["label"] == row[3]) & (summary["task"].isin(of_mlp) == (row[2] == "x1"))
        ]
        ratios = np.log(mine["candidate_train"] / mine["baseline_train"])
        assert float(row[7]) == pytest.approx(np.exp(ratios.mean()), abs=6e-4)
        assert (float(row[7]) < 1) == (row[3] == "fast")
        assert row[8] == "0"


def test_runs_that_diverge_are_counted_and_spoil_no_mean(tmp_path):
    synthetic.make(
        tmp_path / "some",
        [synthetic.Candidate("mine", [2.0, 2.0])],
        noise=0.0,
        rates=(1e-3, 3e-3, 1e-2),
        diverged=[("mine", 0, seed) for seed in range(3)],
    )
    (row,) = generalisation.rows(tmp_path / "some")
    assert row[8] == "1"
    assert 0 < float(row[7]) < 1


def test_a_folder_of_stores_is_one(tmp_path):
    made = [synthetic.Candidate("mine", [2.0, 2.0])]
    synthetic.make(tmp_path / "apart" / "store", made, noise=0.0, rates=(1e-3, 3e-3, 1e-2))
    (row,) = generalisation.rows(tmp_path / "apart")
    assert (
        row[0] == "apart"
        and row[1:] == next(iter(generalisation.rows(tmp_path / "apart" / "store")))[1:]
    )
