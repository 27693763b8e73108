"""Speedups against parameters, steps and declared steps, on stores with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from scripts import stress_figures
from tests.results import synthetic
from velodrome.results.report.figures import stress

TRUE = {500: (1.5, 0.75), 2_000: (3.0, 0.5)}
"""By steps: the speedups of the optimizer, and of it with a quarter of the steps declared."""


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    for steps, (true, wrong) in TRUE.items():
        candidates = [
            synthetic.Candidate("mine", [true] * 2, label="Mine"),
            synthetic.Candidate("horizon:0.25:mine", [wrong] * 2, label="Mine, with a quarter"),
        ]
        rates = (1e-3, 3e-3, 1e-2)
        synthetic.make(folder / str(steps), candidates, steps=steps, rates=rates)
    return [folder / str(steps) for steps in TRUE]


def test_against_steps_wrong_numbers_are_left_out(stores):
    table = stress_figures.figure_of("steps", stores).table
    assert list(table["series"]) == ["Mine", "Mine"]
    assert list(table["x"]) == list(TRUE)
    assert list(table["median"]) == pytest.approx([true for true, _ in TRUE.values()], rel=0.08)
    low, middle, high = table[["low", "median", "high"]].to_numpy(float).T
    assert np.all(low <= middle) and np.all(middle <= high)
    assert list(table["tasks"]) == [2, 2]


def test_against_the_declared_number_it_is_one_series(stores):
    table = stress_figures.figure_of("declared", stores[1:]).table
    assert list(table["series"]) == ["Mine", "Mine"]
    assert list(table["x"]) == [0.25, 1.0]
    assert list(table["median"]) == pytest.approx([0.5, 3.0], rel=0.08)


def test_against_parameters_there_is_a_series_for_each_family(stores):
    made = stress_figures.figure_of("parameters", stores[1:])
    assert list(made.table["series"]) == ["Mine, cnn", "Mine, mlp"]
    assert min(made.table["x"]) > 0
    assert list(made.table["tasks"]) == [1, 1]
    assert "500 M, the paper's limit" in made.caption
    figure = made.figure()
    (axes,), (legend,) = figure.axes, figure.legends
    assert not axes.texts  # a curve could cross them
    assert legend.get_texts()[-1].get_text() == "500 M, the paper's limit"
    assert any(np.all(line.get_xdata() == stress.AXES["parameters"].limit) for line in axes.lines)
    assert axes.get_xlim()[1] > 5e8
