"""The first three lines of a report: which optimizer is best, significantly so, at which rate."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from plans import edited_plan
from synthetic import Candidate, make

from velodrome.results.analyses.tuning import at_edge, near_points, point_text
from velodrome.results.analyses.verdict import advice, lead, significance
from velodrome.results.report.data import ReportData, collect
from velodrome.results.report.figures import sensitivity
from velodrome.results.report.page.build import build_page
from velodrome.results.report.page.contents import notes, tables
from velodrome.results.report.sentences import definition_lines, problem_lines
from velodrome.results.report.tables import task_table
from velodrome.results.report.text import markdown
from velodrome.results.report.verdict import verdict_lines
from velodrome.results.speedup.stats import Aggregate, Interval
from velodrome.results.store.store import Store

RATES = (1e-4, 1e-3, 3e-3, 1e-2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    """VeLO is faster than Adam on every task, Lion on some; Lion takes twice the seconds a step."""
    candidates = [
        Candidate("velo", [2.1, 2.0, 2.5, 3.0, 2.2, 4.0], label="VeLO", seconds_ratio=4.0),
        Candidate("lion", [1.2, 0.8, 1.1, 0.9, 1.3, 1.0], label="Lion", seconds_ratio=1.0),
    ]
    return collect(make(tmp_path_factory.mktemp("s"), candidates, rates=RATES).store)


def test_the_first_three_lines_answer_from_the_numbers(data: ReportData):
    lines = verdict_lines(data)
    assert len(lines) == 3
    best, second = data.headline_of("VeLO"), data.headline_of("Lion")
    assert best is not None and second is not None and best.median.new_tasks.low > 1
    assert lines[0].startswith(
        "Best in steps on 6 tasks (built-in real data): VeLO, with a median speedup over LR-tuned "
        f"Adam of {best.median_text()}, significantly faster; then Lion, "
    )
    found = lead(data.results, "VeLO", "Lion")
    assert found.tasks == 6 and found.ratio.value == pytest.approx(2.3, rel=0.1)
    assert found.ratio.new_tasks.low > 1 and lines[0].endswith(", significant).")
    assert f"; then Lion, {second.median_text()} (VeLO over it on 6 tasks: 2." in lines[0]
    assert lines[1].startswith("In seconds (median): Lion 1.0") and "VeLO 0.5" in lines[1]
    assert "not significant" in lines[1] and "significantly slower" in lines[1]
    assert lines[2] == (
        "Rate to start from, after 200 steps: Adam: 3e-3, within 10% of the best on 6 of 6; VeLO: "
        "nothing was swept; Lion: nothing was swept."
    )
    text, page = markdown(data), build_page(data, [])
    assert [line.removeprefix("- ") for line in text.splitlines()[2:5]] == lines
    first = page.index(lines[0].replace(">=", "≥"))
    assert first < page.index('class="cards"') < page.index(data.context.line)


def test_a_lead_over_an_optimizer_that_diverges_has_no_end(tmp_path: Path):
    """Every seed but one diverges on three of five tasks: in many draws the median is 0."""
    lost = [("lion", task, seed) for task in range(3) for seed in range(task < 2, 3)]
    candidates = [Candidate(name, [2.0] * 5, label=name) for name in ("velo", "lion")]
    data = collect(make(tmp_path, candidates, rates=RATES, diverged=lost).store)
    assert np.isinf(lead(data.results, "velo", "lion").ratio.new_tasks.high)
    assert "then lion, 0.00x" in verdict_lines(data)[0]


def test_significance_is_that_of_the_interval_for_new_tasks():
    def found(low: float, high: float, **ends: bool) -> Aggregate:
        return Aggregate(1.0, same_tasks=Interval(1.1, 1.2), new_tasks=Interval(low, high, **ends))

    assert significance(found(1.01, 3.0)) == 1 and significance(found(0.5, 0.9)) == -1
    assert significance(found(0.9, 1.1)) == 0 and significance(Aggregate(1.0)) == 0
    # Who reaches 0.9x or more within the budget is not known to be slower.
    assert significance(found(0.5, 0.9, high_open=True)) == 0


def test_a_few_tasks_are_shown_and_not_summarised(tmp_path: Path):
    made = make(tmp_path, [Candidate("velo", [0.79, 4.41], label="VeLO")], rates=RATES, noise=0.0)
    data = collect(made.store)
    values = ", ".join(sorted(f"{x:.2f}x" for x in data.summary["speedup_steps_default"]))
    assert values.startswith("0.79x, 4.")
    verdict, *_ = verdict_lines(data)
    assert verdict == (
        "Too few tasks for a verdict: speedups in steps over LR-tuned Adam on 2 tasks (built-in "
        f"real data): VeLO: {values}."
    )
    headline = markdown(data).split("## Tasks")[0]
    assert f"| {values} | - |" in headline and "1.8" not in headline.split("- default")[0]
    for table in (*tables(data, "families"), *tables(data, "headline")):
        assert not any("[" in cell.text for row in table.rows for cell in row)


def test_where_no_task_counts_the_verdict_says_why(tmp_path: Path):
    velo = Candidate("velo", [2.0, 2.0], label="VeLO")
    lines = verdict_lines(collect(make(tmp_path, [velo], rates=RATES, saturated=[0, 1]).store))
    assert lines[0] == (
        "No verdict, as no task counts. VeLO: 0 of 2 tasks, 0 censored; left out: 2 saturated. A "
        "task is saturated where LR-tuned Adam falls below 2% of its initial loss: harder tasks "
        "tell optimizers apart."
    )
    assert len(lines) == 2 and lines[1].startswith("Rate to start from, after ")


def test_who_has_few_tasks_is_not_ranked(tmp_path: Path):
    """Lucky runs on one task of six, and is the fastest there; Lion runs on five."""
    candidates = [
        Candidate("velo", [2.1, 2.0, 2.5, 3.0, 2.2, 4.0], label="VeLO"),
        Candidate("lion", [1.2, 0.8, 1.1, 0.9, 1.3, 1.0], label="Lion"),
        Candidate("lucky", [9.0] * 6, label="Lucky"),
    ]
    failed = [("lion", 5), *(("lucky", task) for task in range(1, 6))]
    data = collect(make(tmp_path, candidates, rates=RATES, failed=failed).store)
    steps, seconds, _ = verdict_lines(data)
    velo, lion = data.headline_of("VeLO"), data.headline_of("Lion")
    assert velo is not None and lion is not None
    assert steps.startswith("Best in steps on 6 tasks (built-in real data): VeLO, with a median")
    assert f"of {velo.median_text()}, significantly faster; then Lion, " in steps
    assert f"Lion, {lion.median_text()} on 5 tasks (VeLO over it on 5 tasks: " in steps
    assert steps.endswith("significant). On too few tasks to be ranked: Lucky: >=5x.")
    assert seconds.startswith("In seconds (median): VeLO 1.") and ", on 6 tasks; Lion " in seconds
    assert seconds.endswith("Lucky >=2.50x, on 1 task.")


GRID = [{"learning_rate": r, "weight_decay": w} for r in (1e-4, 1e-3, 1e-2) for w in (0.0, 0.1)]


def test_points_name_all_that_is_swept():
    assert point_text(GRID, 3) == "1e-3, weight_decay=0.1"
    assert point_text([{"learning_rate": 1e-3}], 0) == ""
    named = [{"learning_rate": 1e-3, "nesterov": x} for x in (True, False)]
    assert point_text(named, 0) == "nesterov=True" and not at_edge(named, 0)
    three = [{"learning_rate": r, "b": b} for r in (1, 2, 3) for b in (4.0, 5.0, 6.0)]
    assert [at_edge(three, place) for place in range(9)] == [True] * 4 + [False] + [True] * 4
    rates = [{"learning_rate": r} for r in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)]
    assert [near_points(rates, place) for place in range(6)] == [3, 4, 5, 5, 4, 3]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    """A candidate with two rates: its seeds 0 and 1 become one seed at 1e-4 and at 1e-3."""
    store = make(
        tmp_path_factory.mktemp("s"), [Candidate("lion", [2.0, 3.0], label="Lion")],
        rates=RATES, seeds=2, noise=0.0,
    ).store  # fmt: skip
    with edited_plan(store.directory) as plan:
        cells = {cell["id"] for cell in plan["cells"] if cell["optimizer"]["name"] == "lion"}
        for part in (*plan["cells"], *plan["shards"]):
            if part.get("cell", part["id"]) in cells:
                part["lanes"] = _as_sweep(part["lanes"])
    for shard in (store.directory / "shards").glob("*.parquet"):
        table = pq.read_table(shard)
        meta = json.loads(table.schema.metadata[b"velodrome"])
        if meta["cell"]["id"] in cells:
            meta["lanes"] = _as_sweep(meta["lanes"])
            values = table.column("value").to_numpy().copy()
            values[table.column("lane").to_numpy() == 1] -= 0.05  # lane 1 ends lower
            table = table.set_column(
                table.column_names.index("value"), table.schema.field("value"), [values]
            )
            pq.write_table(table.replace_schema_metadata({"velodrome": json.dumps(meta)}), shard)
    return collect(Store.open(store.directory))


def _as_sweep(lanes: list[dict]) -> list[dict]:
    points = ({"learning_rate": r, "weight_decay": w} for r, w in ((1e-4, 0.1), (1e-3, 0.0)))
    return [
        {**lane, "seed": 0, "hyperparameters": point}
        for lane, point in zip(lanes, points, strict=True)
    ]


def test_every_candidate_with_a_sweep_has_its_best_point(swept: ReportData):
    point = "1e-3, weight_decay=0"
    assert list(swept.summary["candidate_point"]) == [point] * 2
    assert swept.summary["candidate_point_at_edge"].tolist() == [True, True]
    header, rows = task_table(swept.summary, baseline="Adam")
    assert [row[header.index("own best point")] for row in rows] == [f"{point}*"] * 2
    assert [row[header.index("Adam's best rate")] for row in rows] == ["3e-3"] * 2
    edge = "its own best point is at the edge of the grid"
    assert sum(edge in line for line in problem_lines(swept)) == 2
    found = advice(swept.sensitivity, "Lion", steps=200)
    assert found is not None and (found.point, found.near, found.edge, found.tasks) == (
        point, 2, 2, 2,
    )  # fmt: skip
    assert f"Lion: {point}, within 10% of the best on 2 of 2" in verdict_lines(swept)[2]
    assert f"{point} (edge)" in build_page(swept, [])


def test_every_sweep_has_a_figure(swept: ReportData):
    adam, lion = (p for p in sensitivity.plots(swept) if p.name.startswith("sensitivity"))
    assert (adam.name, lion.name) == ("sensitivity", "sensitivity_lion")
    for plot, points in ((adam, 4), (lion, 2)):
        assert "after 200 steps" in plot.caption
        axes = plot.figure().axes[0]
        assert len(axes.get_xticks()) == points
    assert [text.get_text() for text in axes.get_xticklabels()][1] == "1e-3, weight_decay=0"


def test_the_cost_of_tuning_has_a_section_and_is_in_no_headline(data: ReportData):
    text = markdown(data)
    headline, cost = text.split("## Tasks")[0], text.split("## Total tuning cost")[1]
    assert "tuning cost" not in headline and "hopeless" in cost
    assert set(data.headline["unit"]) == {"steps", "seconds"}
    assert notes(data, "cost") and list(tables(data, "cost"))
    assert np.isfinite(data.tuning_cost["trials"].to_numpy(float)[:4]).all()


def test_a_sweep_that_learns_nowhere_was_swept_all_the_same(data: ReportData):
    flat = data.sensitivity.assign(label="Lion", progress=False)
    swept = dataclasses.replace(data, sensitivity=pd.concat([data.sensitivity, flat]))
    assert verdict_lines(swept)[2].endswith("Lion: no point learns anything.")


def test_few_tasks_have_no_median_by_any_definition(tmp_path: Path):
    few = collect(make(tmp_path, [Candidate("velo", [2.0, 1.5], label="VeLO")], rates=RATES).store)
    lines = definition_lines(few)
    assert all("median in steps VeLO: too few tasks for a median." in line for line in lines)
