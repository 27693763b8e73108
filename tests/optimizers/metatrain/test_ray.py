"""Workers in Ray processes, one of which is killed."""

from __future__ import annotations

import dataclasses
import os
import signal

import jax
import numpy as np
import pytest

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.metatrain.ray_workers import RayTrainer
from velodrome.optimizers.metatrain.trainer import MetaTrainer

ray = pytest.importorskip("ray", reason="the optional extra 'ray' is not installed")


@pytest.fixture
def config(toy_config):
    return dataclasses.replace(
        toy_config,
        tasks=dataclasses.replace(toy_config.tasks, per_family=2, augmentations={}),
        estimator=dataclasses.replace(toy_config.estimator, tasks_per_step=2),
    )


def test_workers_are_a_positive_number(config):
    with pytest.raises(SpecError, match="workers: got 0"):
        RayTrainer(config, workers=0)


def _made_up_trainer():
    """A trainer that evaluates nothing: a task's programs take long to compile in each worker.

    Made in a function, so that it is sent to the workers by value.
    """
    from velodrome.optimizers.metatrain.es.exchange import Report

    class MadeUp(MetaTrainer):
        def evaluate(self, state, index, slots):
            size = float(np.abs(np.asarray(state.outer.theta.step_size_b)).sum())
            reports = []
            for slot in slots:
                losses = np.random.default_rng([index, slot]).normal(size, size=(2, 2))
                reports.append(Report(slot, (slot,), losses.astype("f4"), 10, 10))
            return reports, {}

    return MadeUp


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own, of its processes and sockets
def test_a_killed_worker_costs_only_its_own_pairs(config, monkeypatch):
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    made_up = _made_up_trainer()
    alone, together = made_up(config), RayTrainer(config, workers=2, make_trainer=made_up)
    try:
        expected, state = alone.init(), together.init()
        for index in range(2):
            expected, wanted = alone.step(expected, index)
            state, record = together.step(state, index)
            assert record.pop("lost") == 0
            # A line of JSON and 16 bytes for each of two reports.
            assert record.pop("bytes") < 300
            assert record == wanted
        jax.tree.map(np.testing.assert_array_equal, state.outer.theta, expected.outer.theta)
        victim = ray.get(together.actors[1].process.remote())
        os.kill(victim, signal.SIGKILL)
        before = state.outer.theta
        state, record = together.step(state, 2)
        assert (record["lost"], record["pairs"]) == (2, 2)
        assert not np.array_equal(before.bank_w0, state.outer.theta.bank_w0)
        assert together.actors[1] is None
        state, record = together.step(state, 3)  # the next one is there again
        assert (record["lost"], record["pairs"]) == (0, 4)
    finally:
        together.close()
