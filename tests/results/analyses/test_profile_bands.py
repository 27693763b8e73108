"""Bands of profiles step where the draws do, and not only where the profiles themselves do."""

from __future__ import annotations

import numpy as np
import pytest

from velodrome.results.analyses.equal_steps import EqualSteps
from velodrome.results.analyses.profiles import SHOWN_LIMIT, profiles


def runs(label: str, time: float, *draws: float, baseline: bool = False) -> EqualSteps:
    """One optimizer on one task, with these times under equally probable draws."""
    losses = np.ones(1)
    return EqualSteps(
        label, baseline, True, losses, np.array([time]), np.ones((len(draws), 1)),
        np.array(draws)[:, None], 2.0, losses, np.ones((1, len(draws))),
        np.full(len(draws), 1 / len(draws)), True,
    )  # fmt: skip


def test_the_band_is_whole_once_the_slowest_draw_is_within():
    """Adam is at 3.11 times the fastest, at 4.07 under a third of the draws, and never beyond."""
    adam = runs("adam", 3.11, 3.11, 3.11, 4.07, baseline=True)
    curves, *_ = profiles([(adam, runs("velo", 1.0, 1.0, 1.0, 1.0))])
    of_adam = curves.loc[curves["label"] == "adam"].set_index("tau")
    low = of_adam["low"]
    assert (low[(low.index >= 3.11) & (low.index < 4.07)] == 0).all()
    beyond = low[low.index >= 4.07]
    assert (beyond == 1).all() and beyond.index[0] == pytest.approx(4.07, rel=0.02)
    assert of_adam["share"][3.11] == 1.0 and low.index[0] == 1.0 and low.index[-1] == SHOWN_LIMIT


def test_the_profile_steps_where_it_should_however_often():
    """Up to 200 steps are exact; more of them are on the grid, which is even in log2."""
    fast = runs("velo", 1.0, 1.0)
    for count in (150, 250):
        times = np.exp2(np.linspace(0.1, 3.9, count))
        tasks = [(runs("adam", t, t, baseline=True), fast) for t in times.tolist()]
        curves, *_ = profiles(tasks)
        taus = curves.loc[curves["label"] == "adam", "tau"].to_numpy()
        assert set(times.round(9)) <= set(taus.round(9)) or count == 250
        assert np.diff(np.log2(taus)).max() <= 0.0201
        if count == 250:
            assert np.diff(np.log2(taus)) == pytest.approx(0.02)
