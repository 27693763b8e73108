"""What a wrong number of steps costs: the quotient of two known speedups, task by task."""

from __future__ import annotations

import pytest
from synthetic import Candidate, make

from velodrome.optimizers.registry import optimizers
from velodrome.results.report.data import ReportData, collect
from velodrome.results.report.figures import horizon
from velodrome.results.report.tables import change_text, horizon_table
from velodrome.results.store.optimizer_ref import declared

TRUTH = (2.0, 1.5, 3.0, 2.5, 2.0, 1.5)
HALF = tuple(speedup / 2 for speedup in TRUTH)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    candidates = [
        Candidate("horizon:0.5:velo", HALF, label="VeLO, told 0.5 x the steps"),
        Candidate("velo", TRUTH, label="VeLO"),
        Candidate("horizon:2:lost", HALF, label="Without its truth"),
        Candidate("horizon:4:velo", [100.0] * 6, label="VeLO, told 4 x the steps"),
        Candidate("adamw", HALF, label="Told nothing"),
    ]
    made = make(tmp_path_factory.mktemp("store"), candidates, seeds=2, noise=0.0)
    return collect(made.store)


def test_the_change_is_the_quotient_of_the_speedups(data: ReportData):
    rows = data.horizon.to_dict("records")
    assert [(row["label"], row["declared"]) for row in rows] == [
        ("VeLO", 0.5), ("VeLO", 1.0), ("VeLO", 4.0),
    ]  # fmt: skip
    half, truth, _ = rows
    assert half["change"] == pytest.approx(0.5, rel=0.05)
    assert half["change_low"] == pytest.approx(0.5, rel=0.1)  # the tasks agree, so draws of them do
    assert (half["tasks"], half["bounded"], half["bound"]) == (6, 0, "")
    assert (truth["change"], truth["change_low"], truth["change_high"]) == (1, 1, 1)


def test_a_speedup_that_the_budget_bounds_bounds_the_change(data: ReportData):
    row = data.horizon.to_dict("records")[2]
    assert (row["bounded"], row["bound"]) == (6, ">=")
    assert change_text(row).startswith(">=")


def test_it_is_drawn_and_listed(data: ReportData):
    (plot,) = horizon.plots(data)
    assert "VeLO with 0.5x declared: 0.50x [" in plot.alt
    assert len(plot.figure().axes[0].lines) >= 4  # a curve and its marks
    assert [row[:2] for row in horizon_table(data.horizon).rows][0] == ["VeLO", "0.5x"]
    assert "horizon" in dict(data.saved_tables())


def test_the_declared_number_is_in_the_name_of_the_optimizer():
    name = optimizers.get("horizon:0.25:cosine:adamw").name
    assert declared(name) == (0.25, "cosine:adamw")
    assert declared("velo") == (1.0, "velo")
