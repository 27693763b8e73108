"""Optimizers that have only some of the baseline's seeds: drawn apart, and said to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic import RATES, Candidate, make

from velodrome.results.analyses.equal_steps import after_equal_steps
from velodrome.results.report.data import ReportData, collect
from velodrome.results.report.sentences import count_lines
from velodrome.results.speedup.comparison import compare
from velodrome.results.store.combined import open_stores
from velodrome.results.store.store import Store

VELO, LION = Candidate("velo", [0.5, 2.0]), Candidate("lion", [1.0, 1.5])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Seeds 0 to 2 of Adam and velo, seeds 0 and 1 of lion."""
    directory = tmp_path_factory.mktemp("stores")
    paths = []
    for name, candidates, seeds in (("a", [VELO], 3), ("b", [VELO, LION], 2)):
        make(directory / name, candidates, steps=50, seeds=seeds, rates=RATES[9:12], noise=0.05)
        paths.append(directory / name)
    return open_stores(paths)


@pytest.fixture(scope="module")
def data(both: Store) -> ReportData:
    return collect(both)


def test_the_report_names_those_that_are_not_paired(data: ReportData, tmp_path: Path):
    assert data.summary.groupby("label")["paired"].unique().map(list).to_dict() == {
        "velo": [True],
        "lion": [False],
    }
    assert [line for line in count_lines(data) if "not paired" in line] == [
        "lion is not paired on 2 of 2 tasks: its seeds are not exactly those of Adam, so all of "
        "them are drawn independently, even those that both have."
    ]
    alone = collect(make(tmp_path / "alone", [VELO], steps=50, seeds=2).store)
    assert not any("paired" in line for line in count_lines(alone))


def test_they_are_drawn_apart(both: Store):
    """10 draws of 3 seeds are Adam's and velo's; with 3 draws of 2 seeds there are 30 pairs."""
    for task in compare(both):
        velo, lion = task.outcomes
        assert velo.resamples is not None and lion.resamples is not None
        assert velo.resamples.log2.shape == (10, 3)
        assert lion.resamples.log2.shape == (30, 2)
        # Independent: each pair of draws is as likely as the product says.
        adam, own = np.array([1, 3, 3, 3, 6, 3, 1, 3, 3, 1]) / 27, np.array([1, 2, 1]) / 4
        expected = np.outer(adam, own).ravel()
        np.testing.assert_allclose(lion.resamples.probability, expected)
        adam_runs, velo_runs, lion_runs = after_equal_steps(task)
        assert adam_runs.paired and velo_runs.paired and not lion_runs.paired
