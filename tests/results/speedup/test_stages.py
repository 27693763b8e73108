"""Sweeps that stop when the question is answered: the same answers as those that go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cutting import cut, staged, tasks_of
from handmade import curves
from synthetic import Candidate, make

from velodrome.foundation.errors import SpecError
from velodrome.results.speedup.baseline import BaselineRuns
from velodrome.results.speedup.comparison import TaskComparison, compare_task
from velodrome.results.speedup.definitions import DEFINITIONS
from velodrome.results.speedup.needed import still_needed
from velodrome.results.speedup.outcome import Outcome
from velodrome.results.speedup.stages import Staging, going_on, stage_ends, standing
from velodrome.results.store.baseline_mode import BaselineMode
from velodrome.results.store.combined import open_stores
from velodrome.results.store.store import Store

PUBLISHED = Path(__file__).parents[3] / "results" / "published"
EXHAUSTIVE, DECIDED, RACING = map(BaselineMode.parse, ("exhaustive", "decided", "racing"))


def same_answers(short: Outcome, long: Outcome) -> None:
    """All that a sweep is run for, bit for bit."""
    assert short.status == long.status
    for name in short.speedups:
        if DEFINITIONS[name].decides(short.cell.horizon):
            ours, theirs = short.speedups[name], long.speedups[name]
            assert (
                ours.text == theirs.text and ours.ratio == theirs.ratio and ours.cap == theirs.cap
            )
            np.testing.assert_array_equal(ours.per_seed, theirs.per_seed)
    for ours, theirs in (
        (short.resamples, long.resamples), (short.heldout_resamples, long.heldout_resamples),
    ):  # fmt: skip
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            np.testing.assert_array_equal(ours.log2, theirs.log2)
            assert ours.cap_log2 == theirs.cap_log2


def check_decided(
    store: Store, cells: list, whole: TaskComparison | None = None
) -> tuple[int, int]:
    """Compare a task that was run in stages with the whole sweep; return the steps of both."""
    whole = whole or compare_task(cells, Staging.of(store))
    *_, (task, steps) = staged(store, cells, DECIDED)
    assert task.decided and whole.decided
    assert task.saturated == whole.saturated and task.learnable == whole.learnable
    for short, long in zip(task.outcomes, whole.outcomes, strict=True):
        same_answers(short, long)
    points = len(whole.envelopes["default"].sweep.points)
    return steps, points * whole.envelopes["default"].runs.budget


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Won at once, in the middle, not at all; saturated; nobody learns; one seed of Adam lost."""
    made = make(
        tmp_path,
        [
            Candidate("velo", [0.8, 2.3, 9.0, 1.3, 1.0, 1.6]),
            Candidate("lion", [0.4, 1.2, 1.0, 1.1, 1.0, 2.2]),
        ],
        rates=(1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 3e-1),
        saturated=[3],
        still=[("adam", 4), ("velo", 4), ("lion", 4)],
        diverged=[("adam", 5, 1), ("lion", 5, 0)],
    )
    return made.store


def test_a_decided_sweep_gives_the_answers_of_a_whole_one(store: Store):
    shares = [np.divide(*check_decided(store, cells)) for cells in tasks_of(store)]
    assert shares[0] < 0.35 and shares[1] < 0.7
    assert shares[2] == shares[4] == 1  # never reached; nobody learns


@pytest.mark.parametrize("task", [9, 14, 34])
def test_decided_gives_the_published_answers(task: int):
    """Of heldout-40; the second comes under 2% of its initial loss after N steps."""
    both = open_stores([PUBLISHED / "heldout-40" / name for name in ("adam", "velo")])
    ours, theirs = check_decided(both, tasks_of(both)[task])
    assert ours < theirs or task == 14


def test_a_store_without_the_baseline_says_nothing_of_its_sweep():
    adam, velo = (PUBLISHED / "heldout-8-2000" / name for name in ("adam", "velo-tiny-2"))
    assert Store.open(velo).baseline_mode == DECIDED
    for stores in ((adam, velo), (velo, adam)):
        assert open_stores(stores).baseline_mode == EXHAUSTIVE


@pytest.mark.long
def test_decided_and_racing_on_all_of_heldout_40():
    """56% and 22% of the steps, as docs/explanation/baseline.md says; and nothing differs."""
    both = open_stores([PUBLISHED / "heldout-40" / name for name in ("adam", "velo")])
    decided = raced = exhaustive = 0
    for cells in tasks_of(both):
        whole = compare_task(cells, Staging.of(both))
        ours, theirs = check_decided(both, cells, whole)
        *_, (task, made) = staged(both, cells, RACING)
        decided, raced, exhaustive = decided + ours, raced + made, exhaustive + theirs
        for short, long in zip(task.outcomes, whole.outcomes, strict=True):
            same_answers(short, long)  # a heuristic: here it misses nothing
    assert round(decided / exhaustive, 2) == 0.56
    assert round(raced / exhaustive, 2) == 0.22


def test_a_race_drops_rates_and_says_from_its_curves_which(store: Store):
    cells = tasks_of(store)[1]
    *_, (task, steps) = staged(store, cells, RACING)
    *_, (all_rates, more) = staged(store, cells, DECIDED)
    assert steps < more and task.standing is not None and all_rates.standing is not None
    assert all_rates.standing.going.all() and 4 <= task.standing.going.sum() < 7
    assert task.whole is not None and task.whole.runs.raced
    for ours, theirs in zip(task.outcomes, all_rates.outcomes, strict=True):
        same_answers(ours, theirs)


def test_an_unfinished_stage_counts_for_nothing(store: Store):
    """Some rates have gone on and some have not: only what all of them know is compared."""
    cells = tasks_of(store)[1]
    adam, *others = cells
    points = list(dict.fromkeys(lane.point for lane in adam.planned))
    for mode in (DECIDED, RACING):
        staging = Staging("adam", mode, every=50)
        short, long = (
            compare_task([cut(adam, dict.fromkeys(points, 250) | more), *others], staging)
            for more in ({}, dict.fromkeys(points[1:3], 300))
        )
        assert short.whole is not None and long.whole is not None
        assert short.whole.runs.end == long.whole.runs.end == 250 and not short.decided
        np.testing.assert_array_equal(short.whole.sweep.losses, long.whole.sweep.losses)
        velo, lion = short.outcomes
        assert velo.status == "censored" and velo.speedups["default"].text == ">=1.25x"
        assert lion.speedups["default"].censored == "no" and "strict" not in lion.speedups
        assert max(still_needed(long, staging).values()) == 300


def test_without_the_first_stage_there_is_no_speedup(store: Store):
    adam, *others = tasks_of(store)[1]
    points = list(dict.fromkeys(lane.point for lane in adam.planned))
    staging = Staging("adam", DECIDED, every=10)
    ends = dict.fromkeys(points, 200) | {points[0]: 100}
    task = compare_task([cut(adam, ends), *others], staging)
    assert [outcome.status for outcome in task.outcomes] == ["incomplete", "incomplete"]
    assert task.incomplete == "Adam has made 100 of 200 steps"
    assert set(still_needed(task, staging).values()) == {200}
    task = compare_task([adam, *others], Staging.of(store))
    assert still_needed(task, Staging.of(store)) == dict.fromkeys(points, 1_000)


def test_the_baseline_waits_for_candidates(tmp_path: Path):
    store = make(tmp_path, [Candidate("velo", [3.0])], missing=[("velo", 0)]).store
    stages = [task for task, _ in staged(store, tasks_of(store)[0], DECIDED)]
    assert [task.outcomes[0].status for task in stages] == ["missing"]


@pytest.mark.parametrize("mode", [DECIDED, RACING])
def test_without_a_candidate_the_baseline_goes_to_its_budget(store: Store, mode: BaselineMode):
    alone = [cell for cell in tasks_of(store)[0] if cell.name == store.baseline]
    ((task, _),) = staged(store, alone, mode)
    assert task.whole is not None and task.whole.runs.whole and task.decided


def test_where_stages_end():
    ends = stage_ends(2_000, 20_000, every=200)
    assert ends == (2_000, 2_600, 3_000, 4_000, 5_000, 6_000, 8_000, 10_000, 14_000, 20_000)
    assert stage_ends(20, 40, every=10) == (20, 30, 40)
    assert stage_ends(30, 30, every=50) == (30,)
    ends = stage_ends(100, 5_000, every=10)
    assert ends[-6:] == (1_000, 1_400, 2_000, 2_800, 4_000, 5_000)


def test_which_rates_go_on():
    at = np.linspace(0, 1, 101)
    falls = np.array([0.5, 0.9, 0.8, 0.7, 0.1, 0.3])
    rates = 1 - falls[:, None] * at
    racing = np.ones(6, dtype=bool)
    # Straight lines fall half as much again until the next stage at most: that moves 0.3 up.
    assert going_on(rates, racing, keep=2).tolist() == [False, True, True, True, False, False]
    assert going_on(rates, racing, keep=6) is racing
    flat = np.broadcast_to(1 - falls[:, None], rates.shape)
    assert going_on(flat, racing, keep=2).tolist() == [False, True, True, False, False, False]
    tied = np.where(np.arange(6)[:, None] == 3, flat[2], flat)
    assert going_on(tied, racing, keep=2).sum() == 3
    lost = flat.copy()
    lost[1:5, 50:] = np.inf
    assert going_on(lost, racing, keep=2).tolist() == [True, False, False, False, False, True]
    out = racing & (np.arange(6) != 1)
    assert not going_on(flat, out, keep=2)[1]


def test_progress_of_a_longer_sweep_is_at_least_that_of_a_shorter_one():
    """And noise alone makes none, however long the sweep goes on."""
    rng = np.random.default_rng(0)
    made = 0
    for _ in range(100):
        losses = 2.3 + rng.normal(0, 0.02, (15, 101))
        losses[:, 0] = losses[0, 0]
        losses[3] -= rng.uniform(0, 0.3) * np.linspace(0, 1, 101)
        sweep = curves(losses, rates=list(np.geomspace(1e-7, 1.0, 15))).sweep()
        found = [BaselineRuns(sweep.until(end), 100).progress(10) for end in (10, 20, 50, 100)]
        assert found == sorted(found)
        made += found[-1]
        losses[3] = losses[2]
        still = curves(losses, rates=list(np.geomspace(1e-7, 1.0, 15))).sweep()
        assert not BaselineRuns(still, 100).progress(10)
    assert 10 < made < 100


def test_a_sweep_is_known_as_far_as_all_its_rates_are():
    values = np.ones((3, 11))
    values[1, 6:] = np.nan
    sweep = curves(values, rates=[1e-3, 1e-2, 1e-1]).sweep()
    assert standing(sweep, Staging("adam", DECIDED, every=1), horizon=2, budget=10).end == 5
    assert sweep.ends[:, 0].tolist() == [10, 5, 10]


def test_modes_are_read_and_refused():
    assert [str(mode) for mode in (EXHAUSTIVE, DECIDED, RACING)] == [
        "exhaustive", "decided", "racing:4",
    ]  # fmt: skip
    assert BaselineMode.parse("racing:2").rates == 2
    for text in ("", "race", "racing:0", "racing:x", "decided:3"):
        with pytest.raises(SpecError, match="racing:K"):
            BaselineMode.parse(text)
