"""Ends of intervals that the baseline's budget sets, and intervals that there cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from synthetic import Candidate, make

import velodrome
from velodrome.results.analyses.families import family_table
from velodrome.results.analyses.headline import Headline, headline_table, headlines, ratio_text
from velodrome.results.report.data import collect
from velodrome.results.report.figures import headline as headline_plot
from velodrome.results.report.sentences import count_lines
from velodrome.results.report.tables import headline_table as report_table
from velodrome.results.report.tables import more_tables
from velodrome.results.report.text import markdown
from velodrome.results.speedup.overtasks import Sample
from velodrome.results.speedup.resample import SeedResamples, multisets
from velodrome.results.speedup.stats import Aggregate
from velodrome.results.speedup.taskresult import SplitResult, TaskResult
from velodrome.results.store.store import Store

SPEEDUPS = (1.2, 1.3, 1.5, 2.0, 2.5, 3.0, 8.0, 8.0, 1.1)
CAP = 5.0


def result(task: int, *speedups: float, family: str = "mlp") -> TaskResult:
    """A task whose seeds have these true speedups, seen up to 5x."""
    seen = np.log2(np.minimum(speedups, CAP))
    draws, probability = multisets(len(speedups))
    middle = float(np.median(speedups))
    row = {"label": "velo", "task": f"t{task}", "family": family, "saturated": False,
           "status": "ok", "step_time_ratio": 2.0}  # fmt: skip
    tables = SeedResamples(seen[draws], probability, float(np.log2(CAP)))
    found = SplitResult(min(middle, CAP), middle > CAP, seen, tables)
    return TaskResult(row, {"train": found}, 15.0)


def in_steps(results: list[TaskResult]) -> Headline:
    return next(h for h in headlines(results) if (h.unit, h.scope) == ("steps", "headline"))


NINE = [result(task, truth, truth) for task, truth in enumerate(SPEEDUPS)]


def test_an_end_at_the_cap_is_open():
    """Two of nine tasks are censored: not the median, but the upper end for new tasks."""
    median = in_steps(NINE).median
    assert not median.lower_bound and (median.same_tasks.low_open, median.same_tasks.high_open) == (
        False,
        False,
    )
    assert ratio_text(median, same_tasks=True) == "2.00x [2.00, 2.00]"
    assert median.new_tasks.high == pytest.approx(CAP) and median.new_tasks.high_open
    assert not median.new_tasks.low_open
    text = ratio_text(median)
    assert text.startswith("2.00x [1.2") and text.endswith(", >=5.00]")


def test_an_end_is_open_exactly_if_a_longer_budget_would_move_it():
    """Every end that differs from a bootstrap of the uncapped speedups is marked, and no other."""
    uncapped = [SeedResamples(np.full((3, 2), np.log2(t)), np.ones(3) / 3, 99.0) for t in SPEEDUPS]
    free = Sample(uncapped)
    capped = in_steps(NINE)
    for found, far in (
        (capped.median, free.median(Aggregate(2.0), np.zeros(9))),
        (capped.iqm, free.iqm(Aggregate(2.0), np.zeros(9))),
    ):
        for ours, longer in (
            (found.same_tasks, far.same_tasks),
            (found.new_tasks, far.new_tasks),
        ):
            assert ours.low_open == (longer.low > ours.low * (1 + 1e-9))
            assert ours.high_open == (longer.high > ours.high * (1 + 1e-9))


def test_an_end_among_seeds_is_open_too():
    """One of two seeds is censored: so is the upper end for the same tasks."""
    found = in_steps([result(task, 2.0, 8.0, 2.0) for task in range(3)]).median
    assert found.value == pytest.approx(2.0) and not found.lower_bound
    assert (
        found.same_tasks.high == pytest.approx(CAP)
        and found.same_tasks.high_open
        and not found.same_tasks.low_open
    )
    assert ratio_text(found, same_tasks=True) == "2.00x [2.00, >=5.00]"


def test_both_ends_of_what_is_censored_everywhere_are_open():
    found = in_steps([result(task, 8.0, 8.0) for task in range(5)]).median
    assert ratio_text(found) == ">=5.00x [>=5.00, >=5.00]"


def test_the_lower_end_of_a_lower_bound_may_be_closed():
    truths = (1.0, 1.1, 1.2, 8.0, 8.0, 8.0)
    found = in_steps([result(task, truth, truth) for task, truth in enumerate(truths)]).median
    assert found.lower_bound and found.new_tasks.high_open and not found.new_tasks.low_open


def test_the_tables_say_so():
    found = headlines(NINE)
    table = headline_table(found)
    row = table.loc[(table["statistic"] == "median") & (table["unit"] == "seconds")].iloc[0]
    assert row["high_new_tasks_open"] and not row["low_new_tasks_open"] and not row["high_open"]
    family = family_table(NINE).set_index("unit").loc["seconds"]
    assert family["high_new_tasks_open"] and family["high_new_tasks"] == pytest.approx(2.5)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two of nine tasks are beyond the budget."""
    candidate = Candidate("velo", SPEEDUPS, label="VeLO")
    directory = tmp_path_factory.mktemp("s")
    return make(directory, [candidate], seeds=2, steps=100, rates=(1e-3, 3e-3)).store


def test_text_and_exports_say_so(store: Store, tmp_path: Path):
    data = collect(store)
    median = report_table(data).rows[0][3]
    assert median.endswith(", >=5.00]") and median in markdown(data)
    files = velodrome.export(store.directory, tmp_path, parts=["headline"])
    text, latex = (path.read_text() for path in files.headline)
    assert median in text and median.replace(">=", "$\\geq$") in latex


def test_the_figure_has_an_arrow_at_an_open_end(store: Store, monkeypatch: pytest.MonkeyPatch):
    drawn: list[tuple[float, ...]] = []
    plot = Axes.plot

    def spy(self: Axes, *args, **options):
        if len(args) == 3 and args[2] == ">":
            drawn.extend((float(x),) for x in np.atleast_1d(args[0]))
        return plot(self, *args, **options)

    monkeypatch.setattr(Axes, "plot", spy)
    (figure,) = headline_plot.plots(collect(store))
    figure.figure()
    assert any(x == pytest.approx(np.log2(CAP) + 0.05) for (x,) in drawn)


def test_one_seed_has_no_interval_for_the_same_tasks():
    found = in_steps([result(task, truth) for task, truth in enumerate(SPEEDUPS)]).median
    assert (
        np.isnan([found.same_tasks.low, found.same_tasks.high]).all()
        and ratio_text(found, same_tasks=True) == "2.00x"
    )
    assert found.new_tasks.low < 2 < found.new_tasks.high
    some = [result(0, 1.0, 3.0), result(1, 2.0)]
    assert in_steps(some).median.same_tasks.low < in_steps(some).median.same_tasks.high


def test_one_task_has_no_interval_for_new_tasks():
    found = in_steps([result(0, 1.2, 1.4)])
    assert np.isnan([found.median.new_tasks.low, found.iqm.new_tasks.high]).all()
    assert (
        np.isnan(found.faster[1.0].new_tasks.low)
        and found.median.same_tasks.low < found.median.same_tasks.high
    )


def test_a_report_without_intervals(tmp_path: Path):
    """One task and one seed: numbers without brackets, in tables, text and figure."""
    made = make(tmp_path, [Candidate("velo", [1.3], label="VeLO")], seeds=1, rates=(1e-3, 3e-3))
    data = collect(made.store)
    lines = count_lines(data)
    assert "There are no intervals for the same tasks: no task has two seeds of any optimizer." in (
        lines
    )
    assert lines[0].startswith("Fewer than 5 tasks have no interval for new tasks")
    headline = markdown(data).split("## Tasks")[0]
    assert "1.3" in headline and "x [" not in headline
    name, families = next(more_tables(data))
    assert name == "Families"
    assert "[" not in families.rows[0][4] and families.rows[0][5] == "-"
    for plot in headline_plot.plots(data):
        plot.figure()
