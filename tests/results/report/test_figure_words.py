"""The words and files of figures: counts, bounds, seeds, and the numbers that are drawn."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Annotation
from plans import edited_plan
from synthetic import Candidate, make

from velodrome.results.report.data import ReportData, collect
from velodrome.results.report.figures import families as families_plot
from velodrome.results.report.figures import learning_curves, sorted_speedup
from velodrome.results.report.figures import time as time_plot
from velodrome.results.report.figures.style import velodrome_style
from velodrome.results.report.page.contents import tables
from velodrome.results.report.page.tables import readable
from velodrome.results.report.sentences import count_lines
from velodrome.results.store.store import Store

RATES = [1e-3, 3e-3]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    """A family each: censored, saturated, and two of Lion's that failed or diverged."""
    return collect(
        make(
            tmp_path_factory.mktemp("store") / "s",
            [
                Candidate("velo", [9.0, 2.0, 1.0, 3.0], label="VeLO"),
                Candidate("lion", [2.0, 2.0, 1.0, 3.0], label="Lion"),
            ],
            saturated=[1],
            failed=[("lion", 2)],
            diverged=[("lion", 3, 0), ("lion", 3, 1)],
            seeds=2,
            steps=100,
            rates=RATES,
        ).store
    )


def test_captions_count_the_tasks_that_are_drawn(data: ReportData):
    for plot in (*sorted_speedup.plots(data), *families_plot.plots(data)):
        drawn = plot.table.groupby("label").size()
        assert dict(drawn) == {"VeLO": 3, "Lion": 2}, plot.name
        assert "VeLO: 3 of 4 tasks, 1 censored; left out: 1 saturated." in plot.caption, plot.name
        lion = "Lion: 2 of 4 tasks, 0 censored, 1 diverged; left out: 1 failed, 1 saturated."
        assert lion in plot.caption and lion in count_lines(data)
        assert "Saturated tasks, and those without progress, are left out." in plot.caption
    (curves,) = learning_curves.plots(data)
    assert "VeLO: 4 tasks, 1 censored, 1 saturated." in curves.caption


def test_captions_name_the_seeds_that_there_are(data: ReportData):
    steps, *_ = sorted_speedup.plots(data)
    assert "(2 seeds, narrow with so few)" in steps.caption
    fewer = steps.table.assign(seeds=np.where(steps.table["label"] == "Lion", 1, 7))
    assert sorted_speedup._seeds(fewer) == "VeLO: 7 seeds, Lion: 1 seed, narrow with so few"
    assert sorted_speedup._seeds(fewer.assign(seeds=5)) == "5 seeds"


def test_families_mark_lower_bounds(data: ReportData):
    steps, _ = families_plot.plots(data)
    (family,) = data.summary.loc[data.summary["index"] == 0, "family"].unique()
    (task,) = data.summary.loc[data.summary["index"] == 0, "task"].unique()
    assert f"{family}, VeLO: >=5x, worst {task} (>=5" in steps.alt
    (table,) = tables(data, "families")
    found = [[cell.text for cell in row] for row in table.rows]
    (row,) = (row for row in found if row[:3] == [family, "VeLO", "steps"])
    assert row[-2] == "≥5x" and row[-1].startswith(readable(f"{task} (>=5"))
    assert not [x for x in steps.figure().axes[0].texts if isinstance(x, Annotation)]
    # Of as many tasks as have a median.
    medians = data.families.loc[data.families["unit"] == "steps"].assign(tasks=5)
    with velodrome_style():
        drawn = families_plot.draw(steps.table, medians, data.context)
    # Arrows at the only family whose median is a bound, the first.
    arrows = [text.xy[1] for text in drawn.axes[0].texts if isinstance(text, Annotation)]
    assert arrows and all(-0.5 < y < 0.5 for y in arrows)


def test_families_count_what_each_optimizer_has():
    medians = pd.DataFrame({"family": ["a", "a", "b", "b"], "tasks": [3, 5, 2, 2]})
    assert [families_plot._count(medians, name) for name in "ab"] == ["3 to 5", "2"]


def test_the_files_hold_what_is_drawn(data: ReportData):
    steps, _ = families_plot.plots(data)
    mine = data.families.loc[data.families["unit"] == "steps"].set_index(["label", "family"])
    for row in steps.table.to_dict("records"):
        found = mine.loc[(row["label"], row["family"])]
        assert (row["family_median"], row["family_low"]) == (found["median"], found["low"])
    first, *_ = time_plot.plots(data)
    ratios = time_plot.time_ratios(data.time_to_loss, data.context)
    for row in ratios.to_dict("records"):
        there = (first.table["label"] == row["label"]) & (
            first.table["fraction"] == row["fraction"]
        )
        for name in ("median", "quarter", "three_quarters"):
            assert set(first.table.loc[there, f"{row['unit']}_{name}"]) == {row[name]}
    assert len(first.table) == len(data.time_to_loss)


def test_a_loss_that_is_never_reached_is_no_speedup(data: ReportData):
    times = data.time_to_loss.copy()
    times.loc[times["label"] == "Lion", ["steps", "seconds"]] = np.inf
    first, *_ = time_plot.plots(dataclasses.replace(data, time_to_loss=times))
    assert "Lion, steps to 99%: not reached" in first.alt
    with velodrome_style():
        drawn = first.draw()
    assert drawn.axes[0].get_yticklabels()[0].get_text() == "not reached"


def test_the_line_of_speedups_has_a_gap_where_one_is_censored(data: ReportData):
    table = sorted_speedup.sorted_speedups(data.results)
    mine = table.loc[table["label"] == "VeLO"].reset_index(drop=True)
    mine["censored"] = ["no", "right", "no"]
    with velodrome_style():
        drawn = sorted_speedup.draw(mine, data.context)
    # `get_xdata` is declared as anything that converts to an array.
    solid = [line for line in drawn.axes[0].lines if len(line.get_xdata()) == 3]  # type: ignore[arg-type]
    assert any(np.isnan(np.asarray(line.get_ydata(), float)).tolist() == [False, True, False]
               for line in solid)  # fmt: skip


def test_without_other_optimizers_the_baseline_is_drawn(tmp_path: Path):
    made = make(tmp_path / "s", [Candidate("velo", [2.0, 1.0])], rates=RATES, steps=50, seeds=1)
    with edited_plan(made.store.directory) as plan:
        plan["cells"] = [c for c in plan["cells"] if c["optimizer"]["name"] == "adam"]
        kept = {cell["id"] for cell in plan["cells"]}
        plan["shards"] = [shard for shard in plan["shards"] if shard["cell"] in kept]
    (plot,) = learning_curves.plots(collect(Store.open(made.store.directory)))
    assert "Above each panel" not in plot.caption
    with velodrome_style():
        figure = plot.draw()
    assert len(figure.axes) == 2 and all(len(axes.lines) >= 3 for axes in figure.axes)
