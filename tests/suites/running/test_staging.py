"""Sweeps that are run in stages: they stop when the question is answered, and go on bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toys

from velodrome.results.report.data import collect
from velodrome.results.report.sentences import count_lines
from velodrome.results.report.tables import task_table
from velodrome.results.speedup.comparison import TaskComparison, compare
from velodrome.results.store.combined import open_stores
from velodrome.results.store.store import Store
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.run import RunResult, run
from velodrome.suites.suite import Suite
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec


def suite(*optimizers: str) -> Suite:
    task = TaskSpec(
        "mlp", {"hidden_size": 8, "num_layers": 1, "image_size": 4}, DataSpec("digits"), 8
    )
    protocol = Protocol(
        steps=20, seeds=2, baseline_multiple=5, eval_every=5, heldout_every=10,
        learning_rates=(1e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    )  # fmt: skip
    return Suite("stages", (task,), protocol, ("adam", *optimizers))


def ask(out: Path, *optimizers: str, baseline: str) -> RunResult:
    chosen = suite(*optimizers)
    return run(chosen, out, baseline=baseline, workers=0, timing=False, progress="silent")


def task_of(out: Path) -> TaskComparison:
    (task,) = compare(Store.open(out))
    return task


def losses(out: Path) -> np.ndarray:
    sweep = task_of(out).envelopes["default"].sweep
    return sweep.losses


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    ask(out, "sgd", "adagrad", baseline="exhaustive")
    return out


def test_a_decided_run_stops_and_grows_into_an_exhaustive_one(whole: Path, tmp_path: Path):
    ask(tmp_path, "sgd", baseline="decided")
    short, long = task_of(tmp_path), task_of(whole)
    assert short.decided and short.whole is not None and short.whole.runs.end < 100
    ours, theirs = short.outcomes[0], long.outcomes[0]
    assert ours.status == theirs.status
    assert ours.speedups["default"].ratio == theirs.speedups["default"].ratio
    assert ours.resamples is not None and theirs.resamples is not None
    np.testing.assert_array_equal(ours.resamples.log2, theirs.resamples.log2)
    assert ask(tmp_path, "sgd", baseline="decided").done == 0
    known = losses(tmp_path)
    np.testing.assert_array_equal(known, losses(whole)[:, :, : known.shape[2]])
    data = collect(Store.open(tmp_path))
    assert "100 steps (decided; fewer on 1 of 1 task)" in data.context.line
    said = " ".join(count_lines(data))
    assert "stopped before its budget on 1 of 1 task, on 0 of them" in said
    header, (row,) = task_table(data.summary, baseline="Adam", full=True)
    assert (
        row[header.index("Adam's sweep")].endswith("N")
        and row[header.index("steps (strict)")] == "-"
    )
    assert set(data.with_provenance(data.headline)["baseline_mode"]) == {"decided"}
    # The same store, asked for all of it, and for another candidate: only the rest is trained.
    ask(tmp_path, "sgd", "adagrad", baseline="exhaustive")
    np.testing.assert_array_equal(losses(tmp_path), losses(whole))
    shards = [s for s in Store.open(tmp_path).shards() if s.metadata["cell"]["horizon"] == 100]
    assert {s.begin for s in shards} >= {0, short.whole.runs.end}


def test_without_a_candidate_a_sweep_is_not_cut_into_stages(tmp_path: Path):
    assert ask(tmp_path, baseline="decided").done == 2
    store = Store.open(tmp_path)
    assert [(shard.start, shard.stop) for shard in store.plan.shards] == [(0, 100)] * 2


def test_a_race_leaves_rates_behind(whole: Path, tmp_path: Path):
    def left() -> str:
        display = toys.Recorder()
        chosen = suite("sgd", "adagrad")
        run(chosen, tmp_path, baseline="racing:1", dry_run=True, progress=display)
        (said,) = (line for line in display.told if "to train: " in line)
        return said

    ask(tmp_path, "sgd", baseline="racing:1")
    assert "for the next stage" in left()
    ask(tmp_path, "sgd", "adagrad", baseline="racing:1")
    assert "to train: 0 runs in 0 shards, about" in left()
    task = task_of(tmp_path)
    assert task.standing is not None and task.decided
    ends = task.envelopes["default"].sweep.ends
    assert ends.max() > ends.min() >= 20 or task.standing.end == 20
    for ours, theirs in zip(task.outcomes, task_of(whole).outcomes, strict=True):
        assert ours.status == theirs.status


def test_stores_whose_sweeps_stopped_at_other_steps_are_one_report(whole: Path, tmp_path: Path):
    ask(tmp_path, "sgd", baseline="decided")
    assert task_of(tmp_path).whole != task_of(whole).whole
    columns = ["label", "status", "speedup_steps_default"]
    expected = collect(Store.open(whole)).summary[columns]
    for stores in ([tmp_path, whole], [whole, tmp_path]):
        both = open_stores(stores)
        assert both.baseline_mode.kind == "decided" and both.problems == ()
        assert collect(both).summary[columns].equals(expected)


def test_a_baseline_that_is_lost_at_every_rate_is_known_to_its_budget(tmp_path: Path):
    with toys.registered(lost=toys.counting(name="lost", factory=lost)):
        chosen = toys.bowl_suite("lost", "sgd", seeds=1, baseline="lost", baseline_multiple=4)
        run(chosen, tmp_path, baseline="decided", workers=0, timing=False, progress="silent")
    task = task_of(tmp_path)
    assert task.decided and not task.incomplete
    assert task.outcomes[0].speedups["default"].text == ">=4x"
    assert "every rate of the baseline diverged" in task.outcomes[0].notes


def test_shards_that_answer_nothing_any_more_are_not_counted(tmp_path: Path):
    display = toys.Recorder()
    fast = toys.scaled(name="fast", grid={"learning_rate": (9.0,)})
    with toys.registered(slow=toys.scaled(name="slow"), fast=fast):
        for more in (1, 2):
            # Without its kept end the first seed starts over when both have to go further.
            for path in (tmp_path / "states").glob("*"):
                path.unlink()
            chosen = toys.bowl_suite("slow", "fast", seeds=more, baseline_multiple=more)
            run(chosen, tmp_path, workers=0, timing=False, progress=display)
    store = Store.open(tmp_path)
    assert len(store.shards()) > len(store.plan.shards)
    asked = len(store.plan.shards)
    assert f" has {asked} of {asked} shards (1 was there before; " in display.told[-1]


def lost() -> optax.GradientTransformation:
    """Diverge at the thirteenth step, before the first stage ends."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        return jax.tree.map(lambda x: jnp.where(state < 12, -0.01 * x, jnp.nan), updates), state + 1

    return optax.GradientTransformation(lambda params: jnp.int32(0), update)
