from __future__ import annotations

import numpy as np
import pytest

from velodrome.results.analyses.families import family_table
from velodrome.results.analyses.headline import headline_table, headlines
from velodrome.results.speedup.overtasks import Sample
from velodrome.results.speedup.resample import SeedResamples
from velodrome.results.speedup.stats import (
    Aggregate,
    band,
    gather,
    interquartile_mean,
    interval,
    median,
    positions,
    uniforms,
    weighted_interval,
)
from velodrome.results.speedup.taskresult import SplitResult, TaskResult


def table(*draws: list[float], probability: list[float] | None = None) -> SeedResamples:
    """Draws of log2 speedups, equally probable by default."""
    weights = np.full(len(draws), 1 / len(draws)) if probability is None else np.array(probability)
    return SeedResamples(np.array(draws, dtype=float), weights, 10.0)


def result(
    task: str,
    log2: list[float],
    *,
    family: str = "mlp",
    saturated: bool = False,
    censored: bool = False,
    step_time_ratio: float = 2.0,
    trials: float = 15.0,
) -> TaskResult:
    """One optimizer on one task whose seeds are what they are under every draw."""
    row = {
        "label": "a", "task": task, "family": family, "saturated": saturated, "status": "ok",
        "step_time_ratio": step_time_ratio,
    }  # fmt: skip
    seeds = np.array(log2, dtype=float)
    cap = float(seeds.max()) if censored else 10.0
    found = SplitResult(
        float(np.exp2(np.median(seeds))),
        censored,
        seeds,
        SeedResamples(seeds[None], np.ones(1), cap),
    )
    return TaskResult(row, {"train": found}, trials)


def test_absent_seeds_do_not_count():
    ragged = np.array([[1.0, 2.0, 9.0], [3.0, np.nan, np.nan], [np.nan] * 3])
    np.testing.assert_array_equal(median(ragged), [2.0, 3.0, np.nan])
    four = np.array([0.0, 8.0, 2.0, 4.0, np.nan])
    assert interquartile_mean(four) == 3.0 and median(four) == 3.0
    assert interquartile_mean(np.array([-np.inf, 1.0, 2.0, 3.0, np.nan])) == 1.5


def test_positions_follow_the_probabilities():
    probability = np.array([0.25, 0.5, 0.25])
    np.testing.assert_array_equal(
        positions(probability, np.array([0.0, 0.2499, 0.25, 0.7499, 0.75, 0.9999])),
        [0, 0, 1, 1, 2, 2],
    )
    # Sums of thirds fall short of one.
    assert positions(np.full(3, 1 / 3), np.array([np.nextafter(1.0, 0)]))[0] == 2


def test_the_interval_of_a_task_by_hand():
    """The 2.5% and 97.5% quantiles of 0 ... 9, a tenth each, are the two ends."""
    values, tenth = np.arange(10.0)[::-1], np.full(10, 0.1)
    assert weighted_interval(values, tenth) == (0.0, 9.0)
    rare = np.array([0.02, 0.96, 0.02])
    assert weighted_interval(np.array([-5.0, 1.0, 7.0]), rare) == (1.0, 1.0)


def test_same_tasks_hold_each_task_once_and_new_tasks_do_not():
    tables = [table([float(task)]) for task in range(6)]
    same = gather(tables, *uniforms(6, new_tasks=False, repetitions=50))[:, :, 0]
    np.testing.assert_array_equal(same, np.tile(np.arange(6.0), (50, 1)))
    new = gather(tables, *uniforms(6, new_tasks=True, repetitions=4000))[:, :, 0]
    # Six draws with replacement hold 6 (1 - (5/6)^6) = 3.99 different tasks on average.
    distinct = np.mean([len(set(row)) for row in new.tolist()])
    assert distinct == pytest.approx(6 * (1 - (5 / 6) ** 6), abs=0.05)


def test_one_task_twice_has_its_seeds_drawn_twice():
    """Two slots of the same task agree by chance only: the two levels are independent."""
    coin = table([0.0], [1.0])
    which, uniform = uniforms(2, new_tasks=True, repetitions=4000)
    drawn = gather([coin, coin], which, uniform)[:, :, 0]
    twice = which[:, 0] == which[:, 1]
    assert np.mean(drawn[twice, 0] == drawn[twice, 1]) == pytest.approx(0.5, abs=0.05)


def test_the_two_level_interval_is_that_of_new_tasks():
    """Tasks at 0 and 2 without any noise: certain for these tasks, wide for new ones."""
    sample = Sample([table([0.0, 0.0])] * 20 + [table([2.0, 2.0])] * 20)
    found = sample.iqm(Aggregate(2.0), np.zeros(40))
    assert (found.same_tasks.low, found.same_tasks.high) == (2.0, 2.0)
    assert found.new_tasks.low < 1.7 and found.new_tasks.high > 2.3
    # The mean of 40 tasks with standard deviation 1 in log2; trimming cannot narrow two points.
    share = sample.share(np.repeat([0.0, 2.0], 20), np.zeros(40, bool), np.zeros(40), than=2.0)
    assert share.value == share.same_tasks.low == share.same_tasks.high == 0.5
    half_width = 1.96 * (0.25 / 40) ** 0.5
    assert share.new_tasks.low == pytest.approx(0.5 - half_width, abs=0.03)
    assert share.new_tasks.high == pytest.approx(0.5 + half_width, abs=0.03)


def test_the_band_of_the_sorted_curve_is_sorted_and_shifts_with_the_unit():
    rng = np.random.default_rng(0)
    tables = [table(*rng.normal(size=(10, 3)).tolist()) for _ in range(7)]
    low, high = Sample(tables).sorted_band(np.zeros(7))
    assert (np.diff(low) >= 0).all() and (np.diff(high) >= 0).all() and (low <= high).all()
    moved, _ = Sample(tables).sorted_band(np.full(7, 3.0))
    np.testing.assert_allclose(moved, low + 3)


def test_one_seed_makes_no_band():
    low, high = Sample([table([1.0], [1.0]), table([2.0], [2.0])]).sorted_band(np.zeros(2))
    assert np.isnan(low).all() and np.isnan(high).all() and len(low) == 2


def test_units_of_the_headline_by_hand():
    """4x in steps at twice the seconds a step is 2x in seconds."""
    found = {(h.unit, h.scope): h for h in headlines([result("t", [2.0, 2.0, 2.0])])}
    values = {unit: found[unit, "headline"].median.value for unit, _ in found}
    assert values == pytest.approx({"steps": 4, "seconds": 2})
    assert found["steps", "headline"].seeds == 3


def test_a_task_that_was_not_timed_has_no_seconds():
    results = [result("t", [1.0]), result("u", [3.0], step_time_ratio=float("nan"))]
    found = {h.unit: h for h in headlines(results) if h.scope == "headline"}
    assert (found["steps"].tasks, found["seconds"].tasks) == (2, 1)
    assert found["seconds"].median.value == pytest.approx(1.0)
    assert found["steps"].median.value == pytest.approx(4.0)


def test_saturated_tasks_are_in_the_second_scope_alone():
    results = [result("t", [1.0]), result("u", [5.0], saturated=True)]
    found = {h.scope: h for h in headlines(results) if h.unit == "steps"}
    assert found["headline"].median.value == 2.0 and found["all"].median.value == 8.0
    assert (found["headline"].planned, found["all"].planned) == (2, 2)
    assert found["all"].counts["saturated"] == 1


@pytest.mark.parametrize(("censored", "bound"), [(1, False), (2, True)])
def test_more_than_a_quarter_censored_is_a_lower_bound(censored: int, bound: bool):
    results = [result(str(i), [0.1 * i]) for i in range(6 - censored)]
    results += [result(f"c{i}", [3.0], censored=True) for i in range(censored)]
    (steps,) = (h for h in headlines(results) if h.unit == "steps" and h.scope == "headline")
    assert steps.counts["censored"] == censored and steps.median.lower_bound is bound


def test_the_headline_as_a_table():
    found = headline_table(headlines([result("t", [2.0, 2.0]), result("u", [0.0, 0.0])]))
    assert len(found) == 2 * 2 * 6
    row = found.loc[
        (found["unit"] == "steps")
        & (found["scope"] == "headline")
        & (found["statistic"] == "faster_2x")
    ].iloc[0]
    assert (row["value"], row["low"], row["high"], row["tasks"]) == (0.5, 0.5, 0.5, 2)
    assert np.isnan([row["low_new_tasks"], row["high_new_tasks"]]).all()  # of two tasks


def test_families_name_their_worst_task():
    results = [
        result("t", [1.0]), result("u", [3.0]), result("v", [-1.0], family="rnn"),
        result("w", [9.0], saturated=True),
    ]  # fmt: skip
    found = family_table(results).set_index(["unit", "family"])
    mlp = found.loc[("steps", "mlp")]
    assert (mlp["tasks"], mlp["median"], mlp["worst_task"], mlp["worst"]) == (2, 4.0, "t", 2.0)
    assert found.loc[("seconds", "rnn")]["median"] == pytest.approx(0.25)


def test_intervals_hold_their_level():
    """Medians over 30 noisy tasks: the interval for new tasks holds the truth in most repetitions.

    Each of 30 experiments draws new tasks around a true median of 1; a 95% interval may miss
    a few of them, one for the same tasks misses many.
    """
    rng = np.random.default_rng(3)
    new, same = 0, 0
    for _ in range(30):
        centres = rng.normal(1.0, 1.0, 30)
        sample = Sample([table(*([c + d] * 2 for d in (-0.05, 0.0, 0.05))) for c in centres])
        found = sample.median(Aggregate(2.0), np.zeros(30))
        new += found.new_tasks.low <= 2.0 <= found.new_tasks.high
        same += found.same_tasks.low <= 2.0 <= found.same_tasks.high
    assert new >= 25 and same <= 20


def test_an_interval_needs_no_interpolation():
    low, high = interval(np.array([-np.inf, 1.0, 2.0]))
    assert (low, high) == (0.0, 4.0)


def test_bands_are_values_that_occurred():
    """The first of 40 values is at 2.5% and the 39th at 97.5%; -inf stays -inf."""
    values = np.array([[-np.inf, 3.0]] + [[float(n), 3.0] for n in range(1, 40)])
    low, high = band(values)
    assert low.tolist() == [-np.inf, 3.0] and high.tolist() == [38.0, 3.0]
