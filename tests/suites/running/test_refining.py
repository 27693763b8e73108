"""More learning rates around the best ones: round by round, and the same however it was stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toys

from velodrome.results.report.data import collect
from velodrome.results.speedup.comparison import compare
from velodrome.results.store.plan import PlannedCell
from velodrome.results.store.store import Store
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.engines.base import Job
from velodrome.suites.running.run import RunResult, run
from velodrome.suites.suite import Suite
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec


def suite(*optimizers: str, rates: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)) -> Suite:
    task = TaskSpec(
        "mlp", {"hidden_size": 8, "num_layers": 1, "image_size": 4}, DataSpec("digits"), 8
    )
    protocol = Protocol(
        steps=20, seeds=2, baseline_multiple=3, eval_every=5, heldout_every=10,
        learning_rates=rates, refine=0.01,
    )  # fmt: skip
    return Suite("refined", (task,), protocol, optimizers or ("adam", "sgd"))


def ask(out: Path, asked: Suite, **options: Any) -> RunResult:
    settings: dict[str, Any] = {"progress": "silent", "baseline": "decided"} | options
    return run(asked, out, workers=0, timing=False, **settings)


def plan(out: Path) -> dict[str, object]:
    return Store.open(out).plan.to_json()


def points(cell: PlannedCell) -> list[object]:
    return list(dict.fromkeys(lane.hyperparameters["learning_rate"] for lane in cell.lanes))


def curves(out: Path) -> dict[tuple[object, ...], bytes]:
    found: dict[tuple[object, ...], bytes] = {}
    for cell in Store.open(out).cells():
        read = cell.curves()
        for lane, values in zip(read.lanes, read.values, strict=True):
            found[cell.name, lane.run, lane.lane] = read.steps.tobytes() + values.tobytes()
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    ask(out, suite())
    return out


def test_rates_are_added_around_the_best_one_of_every_sweep(whole: Path):
    adam, sgd = Store.open(whole).plan.cells
    assert points(adam)[:6] == [1e-3, 1e-2, 1e-1, 1.0, 3.16e-3, 3.16e-2]
    assert points(sgd)[:6] == [1e-3, 1e-2, 1e-1, 1.0, 10.0, 0.316]  # its best was at the edge
    assert {adam.search, sgd.search} == {"found"}
    assert [lane.lane for lane in sgd.lanes] == list(range(len(sgd.lanes)))
    (task,) = compare(Store.open(whole))
    assert task.decided and not task.incomplete
    data = collect(Store.open(whole))
    number = len(points(adam))
    assert f"Adam over {number} learning rates on the median task (refined until a round" in (
        data.context.line
    )
    for _, rows in data.sensitivity.loc[data.sensitivity["steps"] == 20].groupby("label"):
        grid = rows["rate"].isin([1e-3, 1e-2, 1e-1, 1.0])
        assert rows["loss"].min() <= rows.loc[grid, "loss"].min()
        assert not rows["edge"].any()
    best = data.sensitivity.loc[data.sensitivity["best"] & (data.sensitivity["label"] == "Adam")]
    assert set(best["point"]) == {"3.16e-2"}


def test_the_same_command_again_trains_nothing(whole: Path):
    before = plan(whole)
    again = ask(whole, suite())
    assert again.done == 0 and not again.missing
    assert plan(whole) == before
    assert len(Store.open(whole).questions()) == 1


@pytest.mark.parametrize("jobs", [6, pytest.param(1, marks=pytest.mark.long)])
def test_a_run_that_is_stopped_again_and_again_ends_as_an_undisturbed_one(
    whole: Path, tmp_path: Path, jobs: int
):
    stops = 0
    while True:
        try:
            ask(tmp_path, suite(), progress=Stopping(jobs))
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops > 12 / jobs
    assert plan(tmp_path) == plan(whole)
    assert curves(tmp_path) == curves(whole)


def test_new_rates_of_an_exhaustive_sweep_go_to_the_budget_whatever_else_is_there(
    whole: Path, tmp_path: Path
):
    other = suite("adam", rates=(3.16e-3, 2e-2))
    other = replace(other, protocol=replace(other.protocol, refine=None, seeds=1))
    ask(tmp_path, other)
    ask(tmp_path, suite(), baseline="exhaustive")
    for ours, theirs in zip(Store.open(tmp_path).cells(), Store.open(whole).cells(), strict=True):
        assert (ours.planned, ours.search) == (theirs.planned, theirs.search)
        assert set(ours.curves().ends().tolist()) == {ours.horizon}


def test_an_edge_is_said_by_the_run_and_the_report(tmp_path: Path):
    display = toys.Recorder()
    with toys.registered(scaled=toys.scaled()):
        # The larger the rate, the lower the loss, without an end.
        asked = toys.bowl_suite("scaled", seeds=1, learning_rates=(1.0, 2.0), refine=0.05)
        run(asked, tmp_path, dry_run=True, progress=display)
        assert "Refining the learning rates of 1 sweep adds at most 12 runs" in display.told[-2]
        ask(tmp_path, asked, progress=display, baseline="exhaustive")
    (cell,) = Store.open(tmp_path).plan.cells
    assert points(cell) == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
    assert display.told.count("Another round of 1 job: percentages begin again.") == 6
    note = "the best rate of Scaled is still at an edge where refining ended."
    assert f"{cell.task.label}: {note}" in display.told
    assert "refined in 1 sweep; the best one is found in 0" in " ".join(display.told)


def test_without_progress_nothing_is_refined(tmp_path: Path):
    with toys.registered(scaled=toys.scaled()):
        # These are 0 as numbers of 32 bits.
        asked = toys.bowl_suite("scaled", seeds=1, learning_rates=(1e-60, 1e-50), refine=0.05)
        ask(tmp_path, asked, baseline="exhaustive")
    (cell,) = Store.open(tmp_path).plan.cells
    assert points(cell) == [1e-60, 1e-50] and cell.search == ""


class Stopping(toys.Recorder):
    """A display that stops the run after some jobs, as Ctrl-C does."""

    def __init__(self, jobs: int) -> None:
        super().__init__()
        self._left = jobs

    def job_finished(self, job: Job) -> None:
        super().job_finished(job)
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt
