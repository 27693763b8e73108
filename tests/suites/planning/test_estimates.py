"""Seconds predicted where no device is named, against the times that the documents list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from velodrome.suites.catalog import load_suite
from velodrome.suites.planning.estimates import overview, shard_seconds, step_seconds
from velodrome.suites.planning.plan import make_plan
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.jobs import timing_seconds
from velodrome.suites.suite import Suite
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.sampler import sample
from velodrome.taskgen.spec import TaskSpec

BATCHING = Path(__file__).parents[3] / "docs" / "explanation" / "batching.md"

# The tasks of that table which are no part of the demo.
SMALL_CNNS = sample(2, seed=0, family="cnn", data="built-in", max_mflop=6)
NAMED = {
    **{task.label: task for task in SMALL_CNNS},
    "MLP 784-128-128-10": TaskSpec(
        "mlp", {"hidden_size": 128, "image_size": 28}, DataSpec("mnist5k"), 128
    ),
    "MLP 196-32-32-32-10": TaskSpec(
        "mlp", {"hidden_size": 32, "num_layers": 3, "image_size": 14}, DataSpec("mnist5k"), 64
    ),
    "CNN, three 3x3 layers": TaskSpec(
        "cnn", {"hidden_size": 32, "num_layers": 3, "image_size": 16}, DataSpec("photos"), 64
    ),
    "LSTM, T = 32": TaskSpec(
        "rnn", {"rnn_size": 128, "embed_size": 64, "sequence_length": 32}, DataSpec("kjv"), 32
    ),
}


def measured() -> dict[str, tuple[float, float]]:
    """MFLOP of a step, and its microseconds in one thread, of each task of the table."""
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+) \| ([\d,]+) \|", BATCHING.read_text(), re.M)
    return {name: (float(size), float(time.replace(",", ""))) for name, size, time in rows}


def test_a_core_is_predicted_within_a_factor_of_two():
    known = {**{task.label: task for task in load_suite("demo").tasks}, **NAMED}
    compared = {name: found for name, found in measured().items() if name in known}
    assert len(compared) == 12
    tasks = tuple(known[name] for name in compared)
    steps = 10_000
    protocol = Protocol(
        steps=steps, seeds=1, eval_every=steps, eval_examples=1, heldout_every=steps
    )
    plan = make_plan(Suite("mine", tasks, protocol, ("sgd",)), backend="cpu")
    cells = overview(plan, protocol)
    ratios = {}
    for cell, (name, (size, microseconds)) in zip(cells, compared.items(), strict=True):
        row = next(row for row in plan.cells if row.id == cell.id)
        assert row.cost.flops / 1e6 == pytest.approx(size, rel=0.05, abs=0.05)  # the same
        ratios[name] = cell.seconds / cell.lanes / steps / (microseconds * 1e-6)
    assert all(0.5 < ratio < 2 for ratio in ratios.values()), ratios
    of_shards = sum(shard_seconds(plan, shard, protocol) for shard in plan.shards)
    assert of_shards == pytest.approx(sum(cell.seconds for cell in cells))


def test_timing_takes_longer_where_steps_are_long():
    """A small step is sampled for a fixed time, a long one a fixed number of times."""
    small, large = NAMED["MLP 196-32-32-32-10"], NAMED["LSTM, T = 32"]
    huge = TaskSpec(
        "rnn", {"rnn_size": 2048, "embed_size": 64, "sequence_length": 32}, DataSpec("kjv"), 32
    )
    protocol = Protocol(steps=1000, seeds=1, eval_every=1000, eval_examples=1, heldout_every=1000)
    plan = make_plan(Suite("mine", (small, large, huge), protocol, ("sgd",)), backend="cpu")
    first, second, third = (timing_seconds(plan, cell, protocol) for cell in plan.cells)
    assert first == second == 0.5
    assert third == pytest.approx(9 * step_seconds(plan, plan.cells[2], protocol)) and third > 5
