from __future__ import annotations

from typing import Any

import jax
import numpy as np
import optax
import pytest

from foundation.errors import SpecError
from results.store import Store
from suites.protocol import Protocol
from suites.run import run
from suites.suite import Suite
from suites.train import train
from taskgen.sampler import sample


def spec():
    return sample(1, seed=3, family="mlp", data="built-in", max_mflop=1)[0]


def test_the_numbers_are_those_of_a_suite(tmp_path):
    protocol = Protocol(
        steps=20, seeds=2, baseline_multiple=1, heldout_every=50, learning_rates=(1e-2,)
    )
    run(Suite("one", (spec(),), protocol, ("adam",)), tmp_path, workers=0, timing=False)
    (cell,) = Store.open(tmp_path).cells()
    curve = train(spec(), "adam", steps=20, seed=1, learning_rate=1e-2)
    stored = cell.curves(split="train", metric="loss")
    (row,) = [at for at, lane in enumerate(stored.lanes) if lane.seed == 1]
    np.testing.assert_array_equal(curve.index, stored.steps)
    np.testing.assert_array_equal(curve["train loss"].to_numpy(np.float32), stored.values[row])


def test_takes_any_optax_optimizer_and_gives_it_the_loss():
    seen = []

    def update(updates, state, params=None, *, value: Any = None, **extra: Any):
        del params
        seen.append((value.shape, sorted(extra)))
        return jax.tree.map(lambda grad: -0.1 * grad, updates), state

    optimizer = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    curve = train(spec(), optimizer, steps=40)
    assert seen == [((), [])]  # traced once
    assert curve["train loss"].iloc[-1] < 0.9 * curve["train loss"].iloc[0]
    assert list(curve.index) == [0, 10, 20, 30, 40]
    assert curve["heldout accuracy"].notna().tolist() == [True, False, False, False, True]


def test_a_diverged_run_ends_at_its_divergence():
    curve = train(spec(), optax.sgd(1e30), steps=40)
    assert np.isfinite(curve["train loss"]).all()
    assert len(curve) < 5


def test_unknown_hyperparameters_are_named():
    with pytest.raises(SpecError, match="learning_rat"):
        train(spec(), "adam", steps=10, learning_rat=1.0)
