"""AlgoPerf's NAdamW against a computation in float64 that follows the published code."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.algoperf import POINTS, AlgoPerfPoint, nadamw_point
from velodrome.optimizers.registry import optimizers

STEPS = 60
START = np.linspace(-1.5, 2.0, 6).reshape(2, 3)


def published_run(point: AlgoPerfPoint, w: np.ndarray, steps: int) -> np.ndarray:
    b1, b2 = 1 - point.one_minus_beta1, point.beta2
    warm = int(point.warmup_factor * steps)
    m, v, path = np.zeros_like(w), np.zeros_like(w), []
    for made in range(steps):
        g = np.sin(3 * w) + 0.1 * w
        m = (1 - b1) * g + b1 * m
        v = (1 - b2) * g**2 + b2 * v
        ahead = ((1 - b1) * g + b1 * m) / (1 - b1 ** (made + 1))
        second = v / (1 - b2 ** (made + 1))
        rate = point.learning_rate * (
            made / warm
            if made < warm
            else (1 + math.cos(math.pi * (made - warm) / max(steps - warm, 1))) / 2
        )
        w = w - rate * (ahead / (np.sqrt(second) + 1e-8) + point.weight_decay * w)
        path.append(w)
    return np.array(path)


def our_runs(trials: list[int], steps: int) -> np.ndarray:
    """All points as lanes of one program."""

    def run(trial):
        made = nadamw_point(trial, steps)

        def step(carry, _):
            w, state = carry
            update, state = made.update(jnp.sin(3 * w) + 0.1 * w, state, w)
            after = optax.apply_updates(w, update)
            return (after, state), after

        w = jnp.asarray(START, jnp.float32)
        return jax.lax.scan(step, (w, made.init(w)), length=steps)[1]

    return np.asarray(jax.jit(jax.vmap(run))(jnp.asarray(trials)))


@pytest.mark.parametrize("steps", [STEPS, 9])  # in 9 steps no point has a warm-up
def test_every_point_takes_the_published_path(steps: int):
    for place, ours in enumerate(our_runs([1, 2, 3, 4, 5], steps)):
        theirs = published_run(POINTS[place], START, steps)
        assert np.abs(theirs[-1] - START).max() > 1e-3
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-5, err_msg=f"point {place + 1}")


def test_it_is_not_optax_nadamw():
    point, gradients = POINTS[4], (jnp.array([0.5, -0.1]), jnp.array([0.3, 0.2]))
    rate = optax.join_schedules(
        [lambda count: 0.0, optax.cosine_decay_schedule(point.learning_rate, STEPS - 1)], [1]
    )
    theirs = optax.nadamw(rate, 1 - point.one_minus_beta1, point.beta2, weight_decay=0.0)

    @jax.jit
    def changes_of_both():
        changes = []
        for made in (nadamw_point(5, STEPS), theirs):
            nothing = jnp.zeros(2)  # so that no decay differs
            _, state = made.update(gradients[0], made.init(nothing), nothing)
            changes.append(made.update(gradients[1], state, nothing)[0])
        return changes

    changes = [np.asarray(change) for change in changes_of_both()]
    assert np.abs(changes[0] / changes[1] - 1).max() > 0.02


def test_the_sweep_has_each_different_update_once():
    spec = optimizers.get("algoperf-nadamw")
    numbers = [point["trial"] for point in spec.points]
    assert numbers == [1, 2, 4, 5]
    assert {POINTS[number - 1] for number in numbers} == set(POINTS)
    third = spec.make({"trial": 3}, num_steps=STEPS)
    changes = []
    for made in (third, spec.make({"trial": 1}, num_steps=STEPS)):
        state = made.init(jnp.ones(2))
        _, state = made.update(jnp.ones(2), state, jnp.ones(2))  # its rate is 0
        changes.append(np.asarray(made.update(jnp.ones(2), state, jnp.ones(2))[0]))
    np.testing.assert_array_equal(changes[0], changes[1])
    assert changes[0][0] < 0


def test_what_is_no_point_is_no_other_point():
    for number in (0, 6):
        with pytest.raises(SpecError, match="from 1 to 5"):
            nadamw_point(number, STEPS)

    def first(trial):
        made = nadamw_point(trial, STEPS)
        return made.update(jnp.ones(1), made.init(jnp.ones(1)), jnp.ones(1))[0]

    assert np.isnan(jax.jit(jax.vmap(first))(jnp.array([0, 6, -1]))).all()
