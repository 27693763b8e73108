"""Workers exchange seeds and losses: everyone makes the same step from them."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from velodrome.foundation.errors import VelodromeError
from velodrome.optimizers.metatrain.es.exchange import Report, estimate_from
from velodrome.optimizers.metatrain.es.outer import make_lanes
from velodrome.optimizers.metatrain.ray_workers import Replica
from velodrome.optimizers.metatrain.trainer import MetaTrainer, TrainState

LOSSES = np.asarray([[1.0, 2.0], [3.5, 0.5], [np.nan, 1.0]], np.float32)


def test_reports_travel_as_a_few_bytes_a_pair():
    report = Report(3, (12, 2**32 - 1), LOSSES, 300, 50)
    content = report.to_bytes()
    again = Report.from_bytes(content)
    assert (again.slot, again.seeds, again.length, again.steps) == (3, (12, 2**32 - 1), 300, 50)
    np.testing.assert_array_equal(again.losses, LOSSES)
    more = dataclasses.replace(report, losses=np.ones((1003, 2), np.float32))
    assert len(more.to_bytes()) - len(content) == 8 * 1000
    for damaged in (b"", b"{}\n", content[:-3], b"[1]\n"):
        with pytest.raises(VelodromeError, match="no report"):
            Report.from_bytes(damaged)


def test_the_gradient_is_made_again_from_the_seed(toy_config):
    theta = MetaTrainer(toy_config).init().outer.theta
    ones = jax.tree.map(lambda _: 1.0, theta)
    lanes = make_lanes(theta, jax.random.key(7), ones, sigma=0.5, pairs=3)
    lanes, theta = jax.tree.map(np.asarray, (lanes, theta))
    found = estimate_from(Report(0, (7,), LOSSES, 10, 10), theta, sigma=0.5, shaping="raw")
    assert found.dropped == 1

    def expected(leaf, centre):
        noise = (leaf[0::2] - centre[None]) / 0.5
        return (-1.0 * noise[0] + 3.0 * noise[1]) / (2 * 0.5 * 2)

    wanted = jax.tree.map(expected, lanes, theta)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), found.gradient, wanted
    )
    two = estimate_from(Report(0, (7, 8), LOSSES, 10, 10), theta, sigma=0.5, shaping="raw")
    other = estimate_from(Report(0, (8,), LOSSES, 10, 10), theta, sigma=0.5, shaping="raw")
    jax.tree.map(
        lambda a, b, c: np.testing.assert_allclose(a, b + c, rtol=1e-3, atol=1e-5),
        two.gradient,
        found.gradient,
        other.gradient,
    )


class Recorded(MetaTrainer):
    """A trainer whose evaluations are numbers made up from step, slot and weights."""

    def evaluate(self, state: TrainState, index, slots):
        size = float(jnp.sum(jnp.abs(state.outer.theta.step_size_b)))

        def draw(slot: int) -> np.ndarray:
            return np.random.default_rng([index, slot]).normal(size, size=(2, 2))

        reports = [Report(slot, (slot,), draw(slot).astype("f4"), 10, 10) for slot in slots]
        return reports, {}


@pytest.fixture
def config(toy_config):
    estimator = dataclasses.replace(toy_config.estimator, tasks_per_step=3)
    return dataclasses.replace(toy_config, estimator=estimator)


def test_replicas_follow_the_trainer_and_a_lost_report_costs_its_pairs(config):
    alone = Recorded(config)
    state = alone.init()
    outer = jax.tree.map(np.asarray, state.outer)
    replicas = [Replica(config.to_json(), outer, 0, Recorded) for _ in range(2)]
    previous: list[bytes] = []
    for index, lost in ((0, False), (1, True), (2, False)):
        # Out of order, as they may arrive.
        arrived = replicas[1].turn(index, previous, [2]) + replicas[0].turn(index, previous, [0, 1])
        expected, _ = alone.evaluate(state, index, [2, 0, 1])
        assert arrived == [report.to_bytes() for report in expected]
        if lost:
            arrived = arrived[1:]
        reports = [Report.from_bytes(content) for content in arrived]
        outer, record = alone.apply(state.outer, index, reports)
        assert record["pairs"] == (4 if lost else 6)
        assert [row["task"] for row in record["tasks"]] == [alone.specs[0].label] * len(reports)
        state, previous = TrainState(outer, {}), arrived
    with pytest.raises(VelodromeError, match="outer step 2 was asked for 5"):
        replicas[0].turn(5, previous, [0])


def test_gradients_accumulate_for_one_step_of_adam(config):
    outer = dataclasses.replace(config.outer, accumulate=2, clip=0.5, steps=8, warmup=0)
    trainer = Recorded(dataclasses.replace(config, outer=outer))
    state = trainer.init()
    thetas = [state.outer.theta]
    for index in range(4):
        state, _ = trainer.step(state, index)
        thetas.append(state.outer.theta)
    moved = [
        not np.array_equal(before.bank_w0, after.bank_w0)
        for before, after in zip(thetas, thetas[1:], strict=False)
    ]
    assert moved == [False, True, False, True]
