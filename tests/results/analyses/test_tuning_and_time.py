from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from synthetic import Candidate, make

from velodrome.results.analyses.equal_steps import after_equal_steps
from velodrome.results.analyses.time_to_loss import median_steps
from velodrome.results.analyses.tuning import expected_best
from velodrome.results.report.data import ReportData, collect
from velodrome.results.report.figures import time as time_plot
from velodrome.results.speedup.comparison import compare
from velodrome.results.store.store import Store

RATES = (1e-4, 1e-3, 3e-3, 1e-2)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two tasks with true speedups of 4 and 0.5, a seed that diverges, and a failure."""
    return make(
        tmp_path_factory.mktemp("store"),
        [Candidate("velo", [4.0, 0.5, 2.0, 2.0], label="VeLO (velo-tiny)")],
        rates=RATES,
        seeds=5,
        noise=0.0,
        diverged=[("velo", 2, 3)],
        failed=[("velo", 3)],
    ).store


@pytest.fixture(scope="module")
def data(store: Store) -> ReportData:
    return collect(store)


def test_expected_best_is_the_mean_over_all_subsets():
    losses = np.array([5.0, 1.0, 4.0, 2.0])
    expected = [np.mean([min(c) for c in combinations(losses, k)]) for k in range(1, 5)]
    np.testing.assert_allclose(expected_best(losses), expected)
    np.testing.assert_allclose(expected_best(np.stack([losses, losses]))[1], expected)


def test_median_steps_count_seeds_that_never_arrive():
    steps = np.array([0, 10, 20])
    curves = np.array([[3.0, 2.0, 1.0], [3.0, 1.0, 1.0], [3.0, 3.0, 3.0]])
    np.testing.assert_allclose(median_steps(steps, curves, np.array([2.0])), [10.0])
    assert np.isinf(median_steps(steps, curves[[0, 2, 2]], np.array([2.0])))[0]


def test_equal_steps_choose_the_rate_after_as_many_steps(store: Store):
    first, second, *_ = (after_equal_steps(task) for task in compare(store))
    adam, velo = first
    assert adam.baseline and adam.paired and velo.paired and adam.label == "Adam"
    assert adam.times == pytest.approx([50, 100, 150]) and len(adam.rate_losses) == 4
    assert np.argmin(adam.rate_losses) == 2
    # Four times as fast: the same exponential reaches Adam's losses at a quarter of the steps.
    assert velo.times == pytest.approx([12.5, 25, 37.5], rel=0.03)
    assert (velo.losses < adam.losses).all() and velo.loss_draws.shape == (126, 5)
    # Half as fast reaches only the first two within as many steps.
    assert second[1].times == pytest.approx([100, 200, np.inf], rel=0.03)


def test_who_is_faster_and_ends_a_trace_higher_scores_higher(tmp_path: Path):
    quick = Candidate("quick", [2.0], above=0.06)
    slow = Candidate("slow", [0.6])
    data = collect(make(tmp_path, [quick, slow], rates=RATES, noise=0.0, multiple=1).store)
    keys = zip(data.pairs["label"], data.pairs["other"], strict=True)
    lost = dict(zip(keys, data.pairs["probability"], strict=True))
    assert lost["quick", "Adam"] == 0.0  # it ends higher on every seed
    scores = data.profile_scores
    keys = zip(scores["label"], scores["against"], strict=True)
    score = dict(zip(keys, scores["score"], strict=True))
    assert score["quick", "all"] == 1.0 > score["Adam", "all"] > score["slow", "all"] > 0.0
    assert score["quick", "Adam"] > score["Adam", "quick"]


def test_sensitivity_marks_the_best_rate(data: ReportData):
    rows = data.sensitivity.loc[(data.sensitivity["index"] == 0)]
    assert set(rows["steps"]) == {200, 1000} and len(rows) == 8
    best = rows.loc[rows["best"]]
    assert set(best["rate"]) == {3e-3} and not best["edge"].any() and best["near_best"].all()
    assert not rows.loc[rows["rate"] == 1e-4, "near_best"].any()


def test_tuning_is_worth_more_with_more_trials(data: ReportData):
    adam = data.tuning.loc[data.tuning["label"] == "Adam", "progress"].to_numpy()
    velo = data.tuning.loc[data.tuning["label"] == "VeLO (velo-tiny)"]
    assert len(adam) == 4 and (np.diff(adam) > 0).all() and len(velo) == 1
    assert 0 < adam[0] < adam[-1] <= 1


def test_time_to_loss_of_exponentials(data: ReportData):
    """Without noise the ratio of times is the true speedup at every fraction."""
    rows = data.time_to_loss.loc[data.time_to_loss["index"] == 0]
    half = rows.loc[rows["fraction"] == 0.5].set_index("label")
    adam, velo = half.loc["Adam"], half.loc["VeLO (velo-tiny)"]
    assert adam["steps"] / velo["steps"] == pytest.approx(4.0, rel=0.03)
    assert velo["seconds"] == pytest.approx(velo["steps"] * 2e-3)
    assert half.loc["Adam, best single rate"]["steps"] == pytest.approx(adam["steps"], rel=0.02)
    slow = data.time_to_loss.loc[
        (data.time_to_loss["index"] == 1) & (data.time_to_loss["label"] == "VeLO (velo-tiny)")
    ]
    assert not slow.set_index("fraction").loc[0.99, "reached"]


def test_the_anytime_speedup_of_exponentials_is_constant(data: ReportData):
    """True speedups 4, 0.5 and 2 (of which one seed diverges): median 2 all along."""
    assert data.anytime["median"].to_numpy() == pytest.approx(2.0, rel=0.1)
    assert set(data.anytime["tasks"]) == {3} and max(data.anytime["share"]) == 1.0


def test_everything_that_went_wrong_is_listed(data: ReportData):
    table = data.failures.set_index("what")
    assert "seed 3" in table.loc["diverged", "where"]
    assert table.loc["run", "kind"] == "oom" and table.loc["run", "label"] == "VeLO (velo-tiny)"
    assert "out of memory" in table.loc["task", "why"]


def test_provenance_says_what_the_store_says(store: Store, data: ReportData):
    facts = dict(data.provenance.itertuples(index=False))
    assert facts["suite hash"] == store.manifest["suite"]["hash"]
    assert facts["kinds of data"] == "built-in" and facts["command"] == "not recorded"
    assert facts["data none"].startswith("built-in")
    assert data.specs["hash"].tolist() == [
        task.get("hash") for task in store.suite.get("tasks", ())
    ]


def test_equal_tuning_cost_counts_the_trials(data: ReportData):
    found = {(h.unit, h.split): h for h in data.headlines if h.scope == "headline"}
    cost = data.tuning_cost.set_index(["against", "unit"])
    steps = found["steps", "train"].median.value
    every, near = cost.loc[("all rates", "steps")], cost.loc[("near rates", "steps")]
    assert every["median"] / steps == pytest.approx(len(RATES)) and every["trials"] == 4
    # 3e-3 is the third of four rates: all of them are within two steps, on every task.
    assert near["median"] == every["median"]
    seconds = cost.loc[("all rates", "seconds")]
    assert seconds["median"] == pytest.approx(every["median"] / 2)  # twice the seconds a step
    adam = data.tuning.loc[data.tuning["label"] == "Adam", "progress"].to_numpy()
    velo = data.tuning.loc[data.tuning["label"] == "VeLO (velo-tiny)", "progress"].item()
    k = int(cost.loc[("random rates", "steps")]["trials"])
    assert adam[k - 1] >= velo and (k == 1 or adam[k - 2] < velo)
    heldout = found["steps", "heldout"].median.value
    assert heldout == pytest.approx(found["steps", "train"].median.value, rel=0.02)


def test_every_table_has_a_name(data: ReportData, tmp_path: Path):
    tables = data.tables()
    assert {"summary", "headline", "families", "failures", "provenance", "overhead"} <= set(tables)
    tables["headline"].to_parquet(tmp_path / "headline.parquet")


def test_a_median_that_the_baseline_never_reaches_is_marked(tmp_path: Path):
    made = make(tmp_path, [Candidate("velo", [4.0])], rates=RATES, seeds=1, noise=0.0, multiple=1)
    data = collect(made.store)
    ratios = time_plot.time_ratios(data.time_to_loss, data.context)
    assert np.isinf(ratios["median"].iloc[-1])
    first, *_ = time_plot.plots(data)
    assert "to 99%: unbounded" in first.alt
    first.draw()
