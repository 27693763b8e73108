"""Figures of any number of tasks and optimizers, and the numbers and words in them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from synthetic import RATES, Candidate, make

from velodrome.results.analyses.tuning import rate_text
from velodrome.results.report.context import data_text, times
from velodrome.results.report.data import collect
from velodrome.results.report.figures import learning_curves
from velodrome.results.report.figures.contents import SECTIONS, plots
from velodrome.results.report.figures.drawing import arrange
from velodrome.results.report.figures.style import (
    PALETTE,
    add_caption,
    series_styles,
    short_labels,
    velodrome_style,
)
from velodrome.results.report.plot_data import sorted_speedups
from velodrome.results.speedup.resample import SeedResamples
from velodrome.results.speedup.taskresult import SplitResult, TaskResult
from velodrome.results.store.store import Store

LONG = "Optimizer {} of a rather long name, beta=0.9, weights of the day before yesterday"
AWKWARD = "My $\\oops$ {} $a_1$ opt\nof two lines"


@pytest.mark.parametrize(
    ("tasks", "labels"),
    [
        (1, [AWKWARD.format(0), "Untimed"]),
        pytest.param(
            5,
            [f"Optimizer {i}" for i in range(5)] + [LONG.format(i) for i in range(3)],
            marks=pytest.mark.long,
        ),
    ],
)
def test_no_figure_collapses(tmp_path: Path, tasks: int, labels: list[str]):
    """matplotlib warns, which is an error here, when the labels leave no room for the axes."""
    rng = np.random.default_rng(0)
    candidates = [
        Candidate(f"o{i}", list(np.exp2(rng.normal(1, 1.5, tasks))), label=label)
        for i, label in enumerate(labels)
    ]
    untimed = [(candidates[-1].name, task) for task in range(tasks)]
    make(tmp_path, candidates, rates=RATES[6:13:2], untimed=untimed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = []
        with velodrome_style():
            for plot in plots(collect(Store.open(tmp_path))):
                figure = plot.draw()
                add_caption(figure, plot.caption)
                arrange(figure, captioned=True)
                assert plot.section in SECTIONS and plot.alt and plot.title
                everything_is_inside(figure, plot.name)
                names.append(plot.name)
    assert len(names) == len(set(names)) == 14 - (tasks < 5)  # few tasks have no headline figure


def test_steps_are_read_at_each_panel_whose_sweep_stopped_elsewhere(tmp_path: Path):
    make(tmp_path, [Candidate("velo", [1.0] * 5)], rates=RATES[6:13:2])
    data = collect(Store.open(tmp_path))
    end = data.curves["step"].max()
    stopped = data.curves.loc[(data.curves["index"] > 0) | (data.curves["step"] <= end / 2)]
    for curves, labelled in ((data.curves, 4), (stopped, 5)):
        figure = learning_curves.draw(curves, data.summary, data.context)
        figure.draw_without_rendering()
        panels = [axes for axes in figure.axes if axes.axison]
        shown = [axes.xaxis.get_major_ticks()[0].label1.get_visible() for axes in panels]
        assert len(panels) == 5 and sum(shown) == labelled
        assert all(shown) or len({axes.get_xlim() for axes in panels}) == 1


def everything_is_inside(figure: Figure, name: str):
    """The legend lies in the figure and on nothing else; axes' titles lie in the figure."""
    whole = figure.bbox.padded(1)
    titles = [t for axes in figure.axes for t in (axes.xaxis.label, axes.yaxis.label)]
    boxes = [title.get_window_extent() for title in titles if title.get_text()]
    for box in boxes:
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and box.y1 <= whole.y1, name
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1, name
        assert whole.y0 <= box.y0 and box.y1 <= whole.y1, name
        assert not any(box.overlaps(other) for other in boxes), name
        assert not any(box.overlaps(axes.get_window_extent()) for axes in figure.axes), name


def test_labels_are_shortened_and_stay_apart():
    alike = [f"{'a' * 40} {x} {'b' * 40}" for x in "xy"]
    found = short_labels(["Adam", LONG, "two\nlines", *alike])
    assert found["Adam"] == "Adam" and found["two\nlines"] == "two lines"
    assert len(found[LONG]) <= 40 and found[LONG].startswith("Optimizer") and "…" in found[LONG]
    assert len(set(found.values())) == 5
    assert max(len(line) for name in found.values() for line in name.splitlines()) <= 40


def test_sorted_speedups_put_censored_ones_last():
    row = {"label": "a", "saturated": False, "task": "t", "family": "f"}
    found = [(5.0, True), (5.0, False), (0.0, False), (1.0, False)]
    results = [TaskResult({**row, "task": "none"})]
    with np.errstate(divide="ignore"):
        for ratio, censored in found:
            seeds = np.log2([ratio] * 2)
            table = SeedResamples(seeds[None], np.ones(1), np.log2(5))
            results.append(TaskResult(row, {"train": SplitResult(ratio, censored, seeds, table)}))
    table = sorted_speedups(results)
    assert list(table["speedup"]) == [0.0, 1.0, 5.0, 5.0]
    assert list(table["censored"]) == ["no", "no", "no", "right"]
    assert list(table["percentile"]) == [12.5, 37.5, 62.5, 87.5]
    assert table["log2_speedup"].tolist()[0] == -np.inf
    # One draw alone: the band is the curve itself; and two seeds give no interval of a task.
    assert list(table["band_low"]) == pytest.approx([0.0, 1.0, 5.0, 5.0])
    assert list(table["band_high"]) == list(table["band_low"])
    assert np.isnan(table["low"].to_numpy(float)).all()


def test_words():
    assert data_text(["built-in", "built-in"]) == "built-in real data"
    assert data_text(["real", "stand-in"]) == "real data and stand-in data"
    assert data_text([]) == "data of unknown kind"
    assert [rate_text(rate) for rate in (3e-4, 0.1, 1.0, 1e-10)] == ["3e-4", "1e-1", "1", "1e-10"]
    assert (times(5.0), times(2.5), times(1000 / 300)) == ("5x", "2.5x", "3.33x")


def test_looks_are_distinct_and_stable():
    labels = [f"o{i}" for i in range(7)] + ["VeLO (velo-tiny)"]
    found = series_styles(labels)
    assert len(set(found.values())) == len({style.color for style in found.values()}) == 8
    many = [*labels, *(f"more{i}" for i in range(12))]
    assert len({style.color for style in series_styles(many).values()}) == 20
    for known in ("VeLO (official)", "Lion", "Muon"):
        alone = series_styles([known])[known]
        assert alone == series_styles(["SGD", "Yogi", "VeLO (velo-tiny)", known])[known]
    velo = series_styles(["VeLO (velo-tiny)"])["VeLO (velo-tiny)"]
    assert found["VeLO (velo-tiny)"].color == velo.color == PALETTE[0]
