"""``cosine:NAME``: the rate warms up and falls over the known number of steps."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.cosine import schedule
from velodrome.optimizers.registry import OptimizerRegistry, optimizers


def test_the_factor_rises_for_a_twentieth_and_falls_along_a_cosine():
    factors = np.asarray(jax.vmap(schedule(100))(jnp.arange(100)))
    expected = [(step + 1) / 5 for step in range(5)]
    expected += [0.5 * (1 + math.cos(math.pi * step / 95)) for step in range(95)]
    np.testing.assert_allclose(factors, expected, rtol=1e-5, atol=1e-7)
    assert 0 < factors[-1] < 1e-3
    assert [schedule(steps)(0) for steps in (1, 2)] == [1, 1]


@pytest.mark.parametrize(
    ("name", "scheduled"),
    [
        ("adamw", lambda rate: optax.adamw(rate, weight_decay=1e-4)),
        ("sgdm", lambda rate: optax.sgd(rate, momentum=0.9)),
        ("lion", lambda rate: optax.lion(rate, b1=0.9, b2=0.99, weight_decay=1e-3)),
        ("muon", optax.contrib.muon),
    ],
)
def test_it_is_the_optimizer_with_a_scheduled_rate(name, scheduled):
    spec = optimizers.get(f"cosine:{name}")
    ours = spec.make({"learning_rate": 0.1}, num_steps=40)
    theirs = scheduled(lambda count: 0.1 * schedule(40)(count))
    params = {"w": jnp.ones((3, 2)), "b": jnp.arange(3.0)}
    states, both = [ours.init(params), theirs.init(params)], [params, params]
    for _ in range(5):
        for side, optimizer in enumerate((ours, theirs)):
            gradients = jax.tree.map(lambda value: jnp.sin(3 * value), both[side])
            updates, states[side] = optimizer.update(gradients, states[side], both[side])
            both[side] = jax.tree.map(jnp.add, both[side], updates)
    for key in params:
        np.testing.assert_allclose(both[0][key], both[1][key], rtol=1e-5, atol=1e-7)


def test_it_says_what_it_is():
    plain, spec = optimizers.get("adamw"), optimizers.get("cosine:adamw")
    assert (spec.name, spec.label) == ("cosine:adamw", "AdamW (cosine)")
    assert spec.needs == {"num_steps"} and spec.points == plain.points
    assert spec.identity == {**plain.identity, "schedule": "cosine, 0.05 warm-up"}
    assert OptimizerRegistry.portable("cosine:a/b.py:f") == "cosine:b.py:f"


@pytest.mark.parametrize("name", ["velo", "schedule_free_adamw"])
def test_what_has_no_rate_to_schedule_is_refused(name):
    with pytest.raises(SpecError, match=f"optimizer: got 'cosine:{name}'"):
        optimizers.get(f"cosine:{name}")
