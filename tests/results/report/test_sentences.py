"""The sentences of a report: seeds, intervals, saturated tasks, a baseline that diverged."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from plans import edited_plan
from rich.console import Console
from synthetic import Candidate, Made, make, of_name

import velodrome
from velodrome.results.analyses.headline import ratio_text
from velodrome.results.report import print_report
from velodrome.results.report.data import ReportData, collect
from velodrome.results.report.page.contents import headlines
from velodrome.results.report.sentences import (
    count_lines,
    definition_lines,
    problem_lines,
    target_line,
)
from velodrome.results.report.tables import headline_table
from velodrome.results.report.text import markdown
from velodrome.results.report.verdict import verdict_lines
from velodrome.results.store.store import Store

RATES = (1e-3, 3e-3)


def printed(data: ReportData) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    print_report(data, console=console)
    return console.export_text()


def with_one_seed(made: Made) -> Store:
    """The store, of whose candidate the shard with seed 0 alone has been run."""
    store = made.store
    velo = of_name(store, "velo")
    with edited_plan(store.directory) as plan:
        (planned,) = (shard for shard in plan["shards"] if shard["cell"] == velo.id)
        plan["shards"].append({**planned, "id": "rest", "lanes": planned["lanes"][1:]})
        planned["lanes"] = planned["lanes"][:1]
    (whole,) = velo.shards
    curves = velo.curves()
    whole.path.unlink()
    rows = {
        "lane": np.zeros(len(curves.steps), int), "step": curves.steps, "value": curves.values[0],
        "split": np.full(len(curves.steps), "train"), "metric": np.full(len(curves.steps), "loss"),
    }  # fmt: skip
    about = {
        "id": velo.id, "task": dict(vars(velo.task)), "optimizer": dict(vars(velo.optimizer)),
        "horizon": 100,
    }  # fmt: skip
    data = dict(vars(velo.data))
    store = Store.open(store.directory)
    store.write_shard(planned["id"], rows, {"cell": about, "lanes": planned["lanes"], "data": data})
    return store


def test_seeds_are_those_that_there_are(tmp_path: Path):
    made = make(tmp_path, [Candidate("velo", [2.0]), Candidate("lion", [2.0])], steps=100, seeds=5,
                rates=RATES)  # fmt: skip
    (before, *_) = count_lines(collect(made.store))
    assert "at least 5 seeds" in before
    data = collect(with_one_seed(made))
    assert dict(zip(data.summary["label"], data.summary["seeds"], strict=True)) == {
        "velo": 1,
        "lion": 5,
    }
    (line, *_) = count_lines(data)
    assert "at least 1 seed" in line


def test_saturated_tasks_are_said_to_be_left_out(tmp_path: Path):
    made = make(tmp_path, [Candidate("velo", [2.0, 3.0, 2.0])], rates=RATES, saturated=[1])
    line = (
        "Saturated tasks (1 of 3) are left out of all medians, shares and intervals, except in the "
        "rows of all tasks."
    )
    data = collect(made.store)
    headline = markdown(data).split("## Tasks")[0]
    assert f"- {line}" in headline and ", all tasks |" in headline
    assert line in printed(data)


def test_the_interval_for_new_tasks_has_its_name(data: ReportData):
    found = next(h for h in data.headlines if (h.unit, h.scope) == ("steps", "headline"))
    new, same = ratio_text(found.median), ratio_text(found.median, same_tasks=True)
    assert new != same
    (line,) = (line for line in count_lines(data) if "stratified bootstrap" in line)
    assert found.label in line and f"median in steps {same}" in line
    (card,) = headlines(data)
    assert card.steps == new == headline_table(data).rows[0][3]
    assert new in verdict_lines(data)[0]


def test_a_baseline_that_never_ran_gives_no_ceiling(tmp_path: Path):
    def said(name: str, missing: list[tuple[str, int]]) -> tuple[str, list[str]]:
        candidate = Candidate("velo", [2.0, 3.0])
        made = make(tmp_path / name, [candidate], missing=missing, steps=50, rates=RATES)
        data = collect(made.store)
        return data.context.line, count_lines(data)

    line, lines = said("never", [("adam", 0), ("adam", 1)])
    assert "; no runs of Adam; " in line and "learning rates" not in line
    assert lines == ["There are no speedups: Adam, the baseline, has not been run."]
    line, lines = said("partly", [("adam", 0)])
    assert "; Adam over 2 learning rates, 250 steps (exhaustive); " in line
    assert any("cannot exceed 5x: Adam was run 5 times as long" in line for line in lines)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    """On the first of five tasks every rate of Adam diverges, on the others none."""
    folder, lost = tmp_path_factory.mktemp("store"), [("adam", 0, seed) for seed in range(3)]
    candidate = Candidate("velo", [2.0, 3.0, 2.0, 1.5, 1.2])
    return collect(make(folder / "s", [candidate], rates=RATES, diverged=lost).store)


def test_a_baseline_that_diverged_has_no_best_rate(data: ReportData):
    lost, fine, *_ = data.summary.to_dict("records")
    assert np.isinf(lost["baseline_train_at_budget"])
    assert np.isnan(lost["best_rate_at_budget"]) and lost["best_rate_at_budget_at_edge"] is False
    # It diverged at half of its budget, after the candidate's last step.
    assert lost["best_rate"] == 3e-3
    assert fine["best_rate_at_budget"] == 3e-3 and fine["best_rate_at_budget_at_edge"] is True
    rows = data.sensitivity.to_dict("records")
    edges = {(row["index"], row["steps"]): row["edge"] for row in rows}
    assert not edges[0, 1000] and edges[0, 200] and edges[1, 1000]
    single = "best single rate, at the end of the baseline's budget, is at the edge"
    assert not any(lost["task"] in x and single in x for x in problem_lines(data))
    assert any(fine["task"] in x and single in x for x in problem_lines(data))


def test_a_rate_that_diverged_before_the_candidate_ends(tmp_path: Path):
    """The two largest rates of the full grid diverge at step 30."""
    made = make(tmp_path, [Candidate("velo", [2.0])], rates=(3e-1, 1.0))
    (row,) = collect(made.store).summary.to_dict("records")
    assert np.isnan([row["best_rate"], row["best_rate_at_budget"]]).all()
    assert np.isinf(row["baseline_train"]) and row["best_rate_at_edge"] is False


def test_the_headline_says_where_the_baseline_diverged(data: ReportData, tmp_path: Path):
    text = "On 1 of 5 tasks Adam diverged at every rate: there is no best rate"
    assert text in markdown(data).split("## Tasks")[0]
    fine = make(tmp_path / "fine", [Candidate("velo", [2.0])], rates=RATES)
    assert "diverged at every rate" not in markdown(collect(fine.store))


@pytest.fixture
def alone(tmp_path: Path) -> Store:
    """A store of Adam and nothing else."""
    made = make(tmp_path / "s", [Candidate("velo", [2.0])], rates=RATES, missing=[("velo", 0)])
    with edited_plan(made.store.directory) as plan:
        velo = {cell["id"] for cell in plan["cells"] if cell["optimizer"]["name"] == "velo"}
        plan["cells"] = [cell for cell in plan["cells"] if cell["id"] not in velo]
        plan["shards"] = [shard for shard in plan["shards"] if shard["cell"] not in velo]
    return Store.open(made.store.directory)


def test_a_store_without_a_candidate_has_no_empty_tables(alone: Store, tmp_path: Path):
    data = collect(alone)
    said = "There are no speedups: no optimizer besides Adam."
    assert count_lines(data) == [said] and definition_lines(data) == []
    text = markdown(data)
    assert f"## Headline\n\n- {said}\n" in text and "## Tasks" not in text
    assert "median in steps" not in text
    assert "| task |" not in text and "| optimizer | speedup in |" not in text
    out = printed(data)
    assert said in out and "best rate" not in out and "IQM" not in out
    assert headline_table(data)[1] == []
    files = velodrome.report(alone.directory, tmp_path / "report")
    assert files.markdown.read_text() == text
    exported = velodrome.export(alone.directory, tmp_path / "out", parts=["headline"])
    assert all(said in path.read_text() for path in exported.headline)


@pytest.mark.parametrize("corpus", [0, 3_000])
def test_targets_say_on_what_they_were_measured(corpus: int):
    protocol = {"heldout_every": 50, "eval_examples": 64, "eval_mode": "training-loss"}
    if corpus:  # left out of the protocol where there is none
        protocol["corpus_examples"] = corpus
    context = SimpleNamespace(protocol=protocol, baseline="adam")
    targets = {"split": ["heldout"] * 3, "task": ["one", "one", "two"], "steps": [0.0, 0.0, 50.0]}
    data: Any = SimpleNamespace(context=context, targets=pd.DataFrame(targets))
    line = target_line(cast(ReportData, data))
    assert "every 50 steps on the held-out split, each on 64 examples at most, with the" in line
    found = (
        "; corpus metrics, such as BLEU, on 3,000 examples at most, with the model as it is used."
    )
    assert (found in line) == bool(corpus)
    assert line.endswith("The target is met before training, and compares nothing, on one.")
    data.targets["steps"] = [np.inf, 10.0, np.nan]
    assert "before training" not in target_line(cast(ReportData, data))
