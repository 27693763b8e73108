"""The figure of overheads: its caption speaks of the panels that are drawn, and of no other."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
from synthetic import Candidate, make

from velodrome.results.report.data import ReportData, collect
from velodrome.results.report.figures.overhead import plots


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    """Everything was measured on both tasks."""
    directory = tmp_path_factory.mktemp("store") / "a"
    found = collect(make(directory, [Candidate("velo", [0.5, 2.0])], steps=50, seeds=1).store)
    whole = found.overhead.assign(parameters=1e3, batch_size=32, memory_bytes=2e6)
    return dataclasses.replace(found, overhead=whole)


@pytest.mark.parametrize(
    ("blank", "titles", "present", "absent"),
    [
        (
            [],
            ["parameters", "batch size", "parameters", "optimizer"],
            ["against parameters and batch size;", "memory", "compile"],
            ["against task"],
        ),
        (
            ["memory_bytes"],
            ["parameters", "batch size", "optimizer"],
            ["against parameters and batch size;", "compile"],
            ["memory"],
        ),
        (
            ["batch_size", "compile_seconds"],
            ["parameters", "parameters"],
            ["against parameters;", "memory"],
            ["batch size", "compile"],
        ),
        (
            ["parameters", "batch_size", "compile_seconds"],
            ["task"],
            ["against task."],
            ["parameters", "batch size", "memory", "compile"],
        ),
    ],
)
def test_the_caption_names_what_is_drawn(
    data: ReportData, blank: list[str], titles: list[str], present: list[str], absent: list[str]
):
    table = data.overhead.assign(**dict.fromkeys(blank, float("nan")))
    (plot,) = plots(dataclasses.replace(data, overhead=pd.DataFrame(table)))
    assert [axes.get_xlabel() for axes in plot.draw().axes] == titles
    assert all(words in plot.caption for words in present)
    assert not any(words in plot.caption for words in absent)
