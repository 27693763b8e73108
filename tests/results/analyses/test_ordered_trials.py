"""Sweeps that are lists of trials: their order is the budget."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from velodrome.results.analyses.equal_steps import EqualSteps
from velodrome.results.analyses.tuning import (
    at_edge,
    in_order_labels,
    point_text,
    tuning_curves,
)
from velodrome.results.store.curves import Sweep

TRIALS = [{"trial": number} for number in range(4)]
#: Final losses: the third trial is the best one.
LOSSES = np.array([3.0, 2.0, 1.0, 4.0])


def runs(label: str, *, in_order: bool) -> EqualSteps:
    return EqualSteps(
        label, False, True, LOSSES[2:3], np.ones(1), LOSSES[None, 2:3], np.ones((1, 1)), 5.0,
        LOSSES, LOSSES[:, None], np.ones(1), True, in_order,
    )  # fmt: skip


def test_the_budget_of_a_list_is_its_beginning():
    adam = dataclasses.replace(runs("Adam", in_order=False), baseline=True)
    task = (adam, runs("list", in_order=True), runs("grid", in_order=False))
    table = tuning_curves([task])
    way = (5.0 - LOSSES) / 4.0
    rows = {label: part["progress"].to_numpy() for label, part in table.groupby("label")}
    np.testing.assert_allclose(rows["list"], np.maximum.accumulate(way))
    assert rows["grid"][0] == pytest.approx(way.mean()) and rows["grid"][-1] == rows["list"][-1]
    low = table.loc[table["label"] == "list", "low"]
    np.testing.assert_allclose(low, rows["list"])  # one draw of seeds: the same order there
    assert in_order_labels([task]) == ("list",)


def test_a_sweep_knows_that_it_is_a_list():
    def sweep(points):
        shape = (len(points), 1)
        losses = np.ones((*shape, 2))
        present, ends = np.ones(shape, bool), np.ones(shape, int)
        return Sweep(np.array([0, 1]), losses, tuple(points), (0,), present, ends)

    assert sweep(TRIALS).in_order
    assert not sweep([{"learning_rate": 0.1}]).in_order and not sweep([{}]).in_order


def test_the_last_trial_is_at_no_edge():
    assert [at_edge(TRIALS, place) for place in range(4)] == [False] * 4
    assert point_text(TRIALS, 3) == "trial=3"
