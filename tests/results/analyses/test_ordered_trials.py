"""Sweeps that are lists of trials: their order is the budget."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from synthetic import Candidate, make

from velodrome.results.analyses.budget import budget_curves, budget_rows
from velodrome.results.analyses.equal_steps import EqualSteps
from velodrome.results.analyses.tuning import (
    at_edge,
    in_order_labels,
    point_text,
    tuning_curves,
)
from velodrome.results.report.context import Context
from velodrome.results.report.figures import budget
from velodrome.results.speedup.comparison import TaskComparison, compare
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


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> list[TaskComparison]:
    """Two tasks: the third trial of a list is 4 times as fast as Adam, and its first diverges."""
    velo = Candidate("velo", [4.0, 4.0], label="The list")
    made = make(tmp_path_factory.mktemp("store"), [velo], seeds=2, noise=0.0)
    tasks = []
    for task in compare(made.store):
        (outcome,) = task.outcomes
        one = outcome.train
        assert one is not None
        diverged, slower = np.full_like(one.losses, np.inf), one.losses + 0.05
        present, ends = (np.repeat(part, 4, axis=0) for part in (one.present, one.ends))
        losses = np.concatenate([diverged, slower, one.losses, slower])
        sweep = Sweep(one.steps, losses, tuple(TRIALS), one.seeds, present, ends)
        outcomes = (dataclasses.replace(outcome, train=sweep, point=2),)
        tasks.append(dataclasses.replace(task, outcomes=outcomes))
    return tasks


def test_the_speedup_of_the_first_trials(listed: list[TaskComparison]):
    table = budget_curves([row for task in listed for row in budget_rows(task)])
    assert table["trials"].tolist() == [1, 2, 3, 4]  # 4 is the last one; the others change it
    none, slower, best, last = table["median"]
    assert none == 0 < slower < best == last == pytest.approx(4.0, rel=0.1)
    assert set(table["tasks"]) == {2} and set(table["label"]) == {"The list"}


def test_its_figure(listed: list[TaskComparison]):
    table = budget_curves([row for task in listed for row in budget_rows(task)])
    context = Context("s", {}, 1000, 5000, 10, "Adam", 4, 2, "none", ("The list",), 2)
    (axes,) = budget.draw(table, context).axes
    (line,) = [line for line in axes.lines if len(np.asarray(line.get_xdata())) == 4]
    drawn = np.asarray(line.get_ydata())
    np.testing.assert_allclose(drawn[1:], np.log2(table["median"].iloc[1:]))
    assert drawn[0] < drawn[1] and axes.get_xscale() == "linear"
    many = table.assign(trials=[1, 10, 100, 1000])
    assert budget.draw(many, context).axes[0].get_xscale() == "log"


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
