"""Shares and remaining time on a clock that is set by hand."""

from __future__ import annotations

import math

import pytest

from velodrome.results.store.optimizer_ref import OptimizerRef
from velodrome.results.store.plan import Batching, DataRef, PlannedCell, StepCost, TaskRef
from velodrome.suites.running.engines.base import SHARD, TIMING, Job
from velodrome.suites.running.eta import Estimate, startup_seconds


def cell(name: str, *, optimizer: str = "Adam", kernels: int = 30) -> PlannedCell:
    return PlannedCell(
        id=name,
        task=TaskRef(0, "task", "mlp", "h"),
        optimizer=OptimizerRef(optimizer.lower(), optimizer),
        horizon=10,
        batch_size=1,
        data=DataRef("digits", "d", "built-in"),
        cost=StepCost(1, 1, 1, 1, 1, kernels, 1),
        batching=Batching("sequential", 1, 1),
        lanes=(),
    )


def shard(name: str, of: str = "a", weight: float = 1.0) -> Job:
    return Job(SHARD, name, of, 0, weight)


TIMED = Job(TIMING, "a", "a", 0, 1.0)


class Run:
    """An estimate, and the clock that it reads."""

    def __init__(self, cells: list[PlannedCell], jobs: list[Job]):
        self.now = 0.0
        self.estimate = Estimate(cells, jobs, clock=lambda: self.now)

    def at(self, now: float) -> Estimate:
        self.now = float(now)
        return self.estimate


def test_start_up_grows_with_the_kernels_up_to_a_limit():
    few, many, loops = (startup_seconds(cell("a", kernels=n)) for n in (0, 50, 10_000))
    assert 0 < few < many < loops < 20
    assert loops == startup_seconds(cell("a", kernels=5_000))


def test_before_anything_is_measured_shares_count_start_up_and_timing():
    jobs = [shard("s0"), shard("s1"), TIMED]
    run = Run([cell("a")], jobs)
    total = startup_seconds(cell("a")) + 3
    assert run.estimate.fraction == 0
    assert math.isnan(run.estimate.seconds_left)
    run.estimate.begin(jobs[0])
    # Half a second of the start-up is over, and nothing says that it takes another time.
    assert run.at(0.5).fraction == pytest.approx(0.5 / total)
    assert math.isnan(run.estimate.seconds_left)


def test_what_a_shard_took_is_what_the_next_of_its_cell_takes():
    jobs = [shard("s0"), shard("s1"), shard("s2")]
    run = Run([cell("a")], jobs)
    run.estimate.begin(jobs[0])
    run.at(20).advance(jobs[0], 0.2)  # 20 s until the first steps are made
    run.at(28).finish(jobs[0])  # 8 s for 4/5 of the work: 10 times as long as predicted
    assert run.estimate.seconds_left == pytest.approx(20)
    assert run.estimate.fraction == pytest.approx(28 / 48)
    run.estimate.begin(jobs[1])
    run.at(33).advance(jobs[1], 0.5)
    assert run.estimate.seconds_left == pytest.approx(15)
    run.at(38).finish(jobs[1])
    run.estimate.begin(jobs[2])
    run.at(48).finish(jobs[2])
    assert (run.estimate.fraction, run.estimate.seconds_left) == (1, 0)


def test_other_cells_follow_those_of_their_optimizer_and_then_all():
    cells = [cell("a"), cell("b", optimizer="VeLO"), cell("c", optimizer="VeLO"), cell("d")]
    jobs = [shard(f"s{name}", name) for name in "abcd"]
    run, startup = Run(cells, jobs), startup_seconds(cell("a"))
    run.estimate.begin(jobs[0])
    run.at(startup).advance(jobs[0], 0.0)
    run.at(startup + 2).finish(jobs[0])  # start-up as predicted, work twice as long
    assert run.estimate.seconds_left == pytest.approx(3 * (startup + 2))
    run.estimate.begin(jobs[1])
    run.at(run.now + 3 * startup).advance(jobs[1], 0.0)
    run.at(run.now + 5).finish(jobs[1])  # VeLO: 3 times the start-up, 5 times the work
    assert run.estimate.seconds_left == pytest.approx((3 * startup + 5) + (startup + 2))


def test_workers_share_the_shards_and_timing_waits_for_them():
    jobs = [shard(f"s{at}") for at in range(5)] + [TIMED]
    run = Run([cell("a")], jobs)
    run.estimate.begin(jobs[0])
    run.estimate.begin(jobs[1])
    run.at(3).advance(jobs[0], 0.0)
    run.at(4).finish(jobs[0])
    # As predicted; the other worker has 1 s of work left, and so have three more shards.
    assert run.estimate.seconds_left == pytest.approx(4 / 2 + 1)
    for job in jobs[1:5]:
        run.estimate.finish(job)
    assert run.estimate.seconds_left == pytest.approx(1)
    assert run.estimate.fraction < 1
    run.estimate.begin(TIMED)
    assert run.at(4.25).seconds_left == pytest.approx(0.75)


def test_a_share_never_falls_and_failures_count():
    jobs = [shard("s0"), shard("s1")]
    run = Run([cell("a")], jobs)
    run.estimate.begin(jobs[0])
    run.at(5).advance(jobs[0], 0.5)
    before = run.estimate.fraction
    run.estimate.fail(jobs[0], again=True)
    assert run.estimate.fraction == before > 0
    run.estimate.begin(jobs[0])
    run.at(6).fail(jobs[0], again=False)
    run.estimate.begin(jobs[1])
    run.at(20).finish(jobs[1])
    assert (run.estimate.fraction, run.estimate.seconds_left) == (1, 0)


def test_nothing_to_do_is_all_done():
    run = Run([cell("a")], [])
    assert (run.estimate.fraction, run.estimate.seconds_left) == (1, 0)
