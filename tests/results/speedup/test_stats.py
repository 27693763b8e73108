from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import RATES, exponential

from velodrome.results.speedup.baseline import BaselineRuns
from velodrome.results.speedup.definitions import DEFINITIONS
from velodrome.results.speedup.resample import SeedResamples, _pairs, multisets, resample_seeds
from velodrome.results.speedup.speedup import BaselineEnvelope, speedup
from velodrome.results.speedup.stats import (
    aggregate,
    gather,
    interquartile_mean,
    interval,
    median,
    share_faster,
    uniforms,
)
from velodrome.results.store.curves import Curves, LaneInfo


def log2(*ratios: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log2(np.array(ratios, dtype=float))


def flags(*indices: int, of: int) -> np.ndarray:
    found = np.zeros(of, dtype=bool)
    found[list(indices)] = True
    return found


def test_median_and_iqm_by_hand():
    assert median(log2(1, 4)) == 1.0
    assert median(log2(0, 0, 8)) == -np.inf
    assert median(log2(0, 2, 8)) == 1.0
    # 8 values: two are left out on either side.
    assert interquartile_mean(log2(0, 1 / 8, 1, 2, 4, 8, 32, 32)) == pytest.approx(1.5)
    # 5 values: one, as a quarter is rounded down.
    assert interquartile_mean(log2(0, 1, 2, 4, 1024)) == pytest.approx(1.0)


@given(st.lists(st.floats(-6, 6), min_size=1, max_size=40))
@settings(deadline=None)
def test_iqm_is_the_trimmed_mean_of_scipy(values: list[float]):
    stats = pytest.importorskip("scipy.stats")
    array = np.array(values)
    assert interquartile_mean(array) == pytest.approx(stats.trim_mean(array, 0.25))


def test_aggregates_with_censored_values():
    ratios = log2(1, 2, 3, 5, 5, 5, 5, 5)
    half = aggregate(ratios, flags(5, 6, 7, of=8), median)
    assert half.value == pytest.approx(5.0) and half.lower_bound  # 3 of 8 are more than a quarter
    few = aggregate(ratios, flags(7, of=8), interquartile_mean)
    assert not few.lower_bound  # it is trimmed away
    low = aggregate(log2(1, 1, 2, 8, 8), flags(2, of=5), median)
    assert low.value == 2.0 and low.lower_bound  # one of five, but it is the median
    none = aggregate(np.empty(0), np.empty(0, dtype=bool), median)
    assert np.isnan(none.value) and not none.lower_bound
    zero = aggregate(log2(0, 0, 5), flags(2, of=3), median)
    assert zero.value == 0.0 and not zero.lower_bound


def test_shares():
    ratios = log2(0.5, 2, 3, 5)
    censored = flags(3, of=4)
    assert share_faster(ratios, censored, than=2.0).value == 0.5  # strictly faster
    assert not share_faster(ratios, censored, than=4.0).lower_bound
    beyond = share_faster(ratios, censored, than=16.0)
    assert beyond.value == 0.0 and beyond.lower_bound


@pytest.mark.parametrize(("seeds", "count"), [(1, 1), (2, 3), (3, 10), (5, 126)])
def test_multisets_are_all_draws_with_their_probabilities(seeds: int, count: int):
    draws, probability = multisets(seeds)
    assert draws.shape == (count, seeds) and probability.sum() == pytest.approx(1.0)
    if seeds <= 3:
        every = [tuple(sorted(d)) for d in product(range(seeds), repeat=seeds)]
        for draw, p in zip(draws, probability, strict=True):
            assert p == pytest.approx(every.count(tuple(draw)) / len(every))


def test_many_seeds_are_drawn_at_random():
    draws, probability = multisets(8)
    assert draws.shape == (200, 8) and probability.sum() == pytest.approx(1.0)
    np.testing.assert_array_equal(draws, multisets(8)[0])


def noisy_race(seeds: int, *, diverge: bool = False) -> tuple[Curves, Curves]:
    rng = np.random.default_rng(1)
    long, short = np.arange(0, 1001, 10), np.arange(0, 201, 10)
    lanes, values = [], []
    for rate in RATES[7:11]:
        for seed in range(seeds):
            lanes.append(LaneInfo(seed=seed, hyperparameters={"learning_rate": rate}))
            slower = 10 ** abs(np.log10(rate) - np.log10(3e-3))
            values.append(exponential(long, 400 * slower * np.exp(0.3 * rng.standard_normal())))
    if diverge:
        values[2 * seeds][50:] = np.nan  # the best rate, seed 0
    fast = [exponential(short, 150 * np.exp(0.3 * rng.standard_normal())) for _ in range(seeds)]
    candidate = Curves(short, np.stack(fast), tuple(LaneInfo(seed=s) for s in range(seeds)))
    return Curves(long, np.stack(values), tuple(lanes)), candidate


def renamed(curves: Curves, draw: np.ndarray) -> Curves:
    """The curves of the drawn seeds, as if they were separate runs."""
    lanes, rows = [], []
    for new, old in enumerate(draw):
        for row, lane in enumerate(curves.lanes):
            if lane.seed == old:
                lanes.append(LaneInfo(seed=new, hyperparameters=lane.hyperparameters))
                rows.append(row)
    return Curves(curves.steps, curves.values[rows], tuple(lanes))


@pytest.mark.parametrize("name", ["default", "strict", "paper"])
@pytest.mark.parametrize("diverge", [False, True])
def test_resampling_equals_comparing_again(name: str, diverge: bool):
    """The table is what a full comparison gives, rates chosen again, on each draw of seeds."""
    baseline, candidate = noisy_race(3, diverge=diverge)
    envelope = BaselineEnvelope(BaselineRuns(baseline.sweep()), DEFINITIONS[name])
    found = resample_seeds(envelope, candidate.sweep(), horizon=200)
    draws, _ = multisets(3)
    for draw, row in zip(draws, found.log2, strict=True):
        again = speedup(renamed(baseline, draw), renamed(candidate, draw), definition=name)
        expected = np.minimum(again.per_seed, again.cap)
        if name == "paper":
            expected = np.full(3, again.ratio)
        np.testing.assert_allclose(np.exp2(row), expected, rtol=1e-9)
    assert found.cap_log2 == pytest.approx(np.log2(5))


@pytest.mark.parametrize(("ours", "theirs"), [(2, 2), (3, 3), (3, 2)])
def test_resampling_seeds_that_are_not_common(ours: int, theirs: int):
    """The distribution is that of all ordered draws of both sides, each equally probable."""
    baseline, _ = noisy_race(ours)
    _, candidate = noisy_race(theirs)
    lanes = tuple(LaneInfo(seed=s + 7) for s in range(theirs))
    other = Curves(candidate.steps, candidate.values, lanes)
    found = resample_seeds(
        BaselineEnvelope(BaselineRuns(baseline.sweep())), other.sweep(), horizon=200
    )
    assert found.probability.sum() == pytest.approx(1.0)
    expected: Counter[tuple[float, ...]] = Counter()
    share = 1 / (ours**ours * theirs**theirs)
    for mine in product(range(ours), repeat=ours):
        envelope = BaselineEnvelope(BaselineRuns(renamed(baseline, np.array(mine)).sweep()))
        for yours in product(range(theirs), repeat=theirs):
            again = envelope.speedup_of(renamed(candidate, np.array(yours)).sweep(), horizon=200)
            expected[outcome(np.minimum(again.per_seed, again.cap))] += share
    table: Counter[tuple[float, ...]] = Counter()
    for row, probability in zip(found.log2, found.probability, strict=True):
        table[outcome(np.exp2(row))] += probability
    assert table == pytest.approx(expected)


def outcome(ratios: np.ndarray) -> tuple[float, ...]:
    return tuple(np.sort(ratios).round(6).tolist())


def test_many_pairs_of_draws_are_drawn_by_their_probabilities():
    """The draw of five different seeds has 120/3125, the draw of one seed alone 1/3125."""
    baseline, candidate = noisy_race(5)
    lanes = tuple(LaneInfo(seed=s + 7) for s in range(5))
    other = Curves(candidate.steps, candidate.values, lanes)
    found = resample_seeds(
        BaselineEnvelope(BaselineRuns(baseline.sweep())), other.sweep(), horizon=200
    )
    assert found.log2.shape == (400, 5) and np.isfinite(found.log2).all()
    ours, theirs, probability = _pairs(5, 5)
    np.testing.assert_allclose(probability, 1 / 400)
    for draws in (ours, theirs):
        different = np.mean([len(set(row)) for row in draws.tolist()])
        # Exactly 5 (1 - 0.8^5) = 3.36; drawn uniformly from the 126 it would be 2.78.
        assert different == pytest.approx(5 * (1 - 0.8**5), abs=0.15)


def drawn(tables: list[SeedResamples]) -> np.ndarray:
    """New seeds in the same tasks: [task, repetition, seed]."""
    return gather(tables, *uniforms(len(tables), new_tasks=False)).swapaxes(0, 1)


def test_bootstrap_of_a_known_distribution():
    """Two outcomes, 1x with 0.9 and 4x with 0.1: the 95% interval of one task is [1, 4]."""
    table = SeedResamples(log2(1, 4)[:, None], np.array([0.9, 0.1]), 5.0)
    (draws,) = drawn([table])
    assert draws.shape == (2000, 1)
    assert np.mean(draws == 2.0) == pytest.approx(0.1, abs=0.03)
    assert interval(median(draws)) == (1.0, 4.0)
    # Over 60 independent tasks the mean of log2 is 0.2 with standard error 0.6 / sqrt(60).
    many = np.stack([d[:, 0] for d in drawn([table] * 60)], axis=-1).mean(axis=-1)
    low, high = interval(many)
    assert np.log2(low) == pytest.approx(0.2 - 1.96 * 0.6 / 60**0.5, abs=0.04)
    assert np.log2(high) == pytest.approx(0.2 + 1.96 * 0.6 / 60**0.5, abs=0.04)


def test_intervals_with_divergence():
    assert interval(log2(*[0] * 50, *[2] * 50)) == (0.0, 2.0)
