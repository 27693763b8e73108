from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velodrome.results.analyses.equal_steps import EqualSteps
from velodrome.results.analyses.improvement import improvement, pairs
from velodrome.results.analyses.profiles import profile, profiles, score, time_ratios

times = st.lists(st.one_of(st.floats(1, 100), st.just(np.inf)), min_size=2, max_size=5)


def runs(
    label: str,
    losses: list[float],
    time: float,
    *,
    baseline: bool = False,
    paired: bool = True,
    draws: list[list[float]] | None = None,
) -> EqualSteps:
    """Runs that are the same under every draw, or those given."""
    loss_draws = np.array(draws if draws is not None else [losses])
    count = len(loss_draws)
    mean = float(np.mean(losses))
    return EqualSteps(
        label, baseline, True, np.array(losses), np.array([time]), loss_draws,
        np.full((count, 1), time), 3.0,
        np.array([mean]), np.full((1, count), mean), np.full(count, 1 / count), paired,
    )  # fmt: skip


def test_improvement_by_hand():
    ours, theirs = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0])
    # Lower in (1,2) (1,4) (2,4) (3,4), equal in (2,2), higher in (3,2): 4.5 of 6.
    assert improvement(ours, theirs) == pytest.approx(0.75)
    assert improvement(theirs, ours) == pytest.approx(0.25)
    diverged = np.array([np.inf])
    assert improvement(diverged, diverged) == 0.5 and improvement(ours, diverged) == 1.0


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.integers(0, 5))
@settings(deadline=None, max_examples=40)
def test_improvement_is_mann_whitneys_u(ours: list[float], seed: int):
    """As in rliable: U over the number of pairs, with U of scores where more is better."""
    stats = pytest.importorskip("scipy.stats")
    theirs = np.random.default_rng(seed).integers(-5, 6, 4).astype(float)
    u = stats.mannwhitneyu(-np.array(ours), -theirs, method="asymptotic").statistic
    assert improvement(np.array(ours), theirs) == pytest.approx(u / (len(ours) * 4))


def test_pairs_are_averaged_over_tasks_and_complete():
    tasks = [
        (runs("adam", [2.0], 100.0, baseline=True), runs("velo", [1.0], 50.0)),
        (runs("adam", [2.0], 100.0, baseline=True), runs("velo", [2.0], 100.0)),
        (runs("adam", [2.0], 100.0, baseline=True),),
    ]
    table = pairs(tasks).set_index(["label", "other"])
    assert table.loc[("velo", "adam")]["probability"] == 0.75
    assert table.loc[("adam", "velo")]["probability"] == 0.25
    assert set(table["tasks"]) == {2}
    assert table.loc[("velo", "adam")]["low"] == 0.75


def test_common_seeds_are_drawn_together():
    """Equal runs under every draw: paired, always a tie; drawn apart, often not."""
    draws = [[1.0], [2.0], [3.0]]
    adam = runs("adam", [2.0], 1.0, baseline=True, draws=draws)
    both = pairs([(adam, runs("velo", [2.0], 1.0, draws=draws))])
    assert both["low"].tolist() == both["high"].tolist() == [0.5, 0.5]
    apart = pairs([(adam, runs("velo", [2.0], 1.0, draws=draws, paired=False))])
    assert apart["low"].tolist() == [0.0, 0.0] and apart["high"].tolist() == [1.0, 1.0]


def test_the_score_worked_out():
    """Ratios 1, 2, 4 and never: (1 + 2/3 + 0 + 0) / 4."""
    ratios = np.array([1.0, 2.0, 4.0, np.inf])
    assert score(ratios) == pytest.approx((1 + 2 / 3) / 4)
    np.testing.assert_array_equal(
        profile(ratios, np.array([1.0, 1.9, 2.0, 16.0])), [0.25, 0.25, 0.5, 0.75]
    )


@given(st.lists(st.floats(1, 6), min_size=1, max_size=8))
@settings(deadline=None, max_examples=10)
def test_the_score_is_the_area_under_the_profile(ratios: list[float]):
    grid = np.linspace(1, 4, 1_501)
    area = float(np.trapezoid(profile(np.array(ratios), grid), grid)) / 3
    assert score(np.array(ratios)) == pytest.approx(area, abs=3e-3)


@given(times)
@settings(deadline=None, max_examples=60)
def test_some_optimizer_is_the_fastest(found: list[float]):
    ratios = time_ratios(np.array(found))
    if np.isfinite(found).any():
        assert ratios.min() == 1.0
    assert (np.isinf(ratios) == np.isinf(found)).all()


def test_profiles_depend_on_who_is_compared_and_pairwise_ones_do_not():
    tasks = [
        (runs("adam", [2.0], 100.0, baseline=True), runs("velo", [1.0], 50.0), runs("x", [1.0], t))
        for t in (10.0, 400.0)
    ]
    curves, scores, count = profiles(tasks)
    keys = zip(scores["label"], scores["against"], strict=True)
    table = dict(zip(keys, scores["score"], strict=True))
    assert count == 2
    # Against x as well: adam's ratios are 10 and 2.
    assert table["adam", "all"] == pytest.approx((0 + 2 / 3) / 2)
    assert table["adam", "velo"] == pytest.approx(2 / 3) and table["velo", "adam"] == 1.0
    # x within 4 of adam: 1 of ratio 1, 1 of exactly 4.
    assert table["x", "adam"] == pytest.approx(0.5) and table["adam", "x"] == pytest.approx(0.5)
    of_x = curves.loc[curves["label"] == "x"]
    assert of_x["share"].iloc[0] == 0.5 and (np.diff(of_x["share"]) >= 0).all()
    assert (of_x["low"] <= of_x["share"]).all() and (of_x["share"] <= of_x["high"]).all()


def test_tasks_that_not_everyone_has_run_are_left_out():
    whole = (runs("adam", [2.0], 10.0, baseline=True), runs("velo", [1.0], 5.0))
    assert profiles([whole, whole[:1]])[2] == 1
    assert profiles([])[2] == 0 and profiles([])[0].empty
