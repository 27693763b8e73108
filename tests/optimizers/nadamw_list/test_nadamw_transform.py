"""NAdamW of the list against a computation in numpy that follows the published rules."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.nadamw_list.transform import nadamw_trial
from velodrome.optimizers.nadamw_list.trials import FIRST_TEN, NAdamWTrial

STEPS = 30
#: None of the first ten has the L2 term, nor a warm-up that is longer than the constant rate.
OTHERS = (
    NAdamWTrial(0.05, 0.8, 0.97, 1e-3, True, 0.02, 0.05, 0.0, 0.1, 0.3),
    NAdamWTrial(0.05, 0.8, 0.97, 1e-3, False, 0.0, 0.03, 0.09, 0.2, 0.02),
    NAdamWTrial(0.03, 0.9, 0.99, 1e-2, True, 0.1, 0.0, 0.01, 0.0, 0.5),
)
TRIALS = FIRST_TEN + OTHERS


def gradient(w):
    return np.sin(3 * w) + 0.1 * w


def published_rate(trial: NAdamWTrial, step: int) -> float:
    """The published schedule, in the order in which it is stated."""
    begin = STEPS * trial.constant_fraction
    low = trial.min_learning_rate_mult * trial.learning_rate
    along = (max(step, begin) - begin) * math.pi / (STEPS - begin)
    rate = (trial.learning_rate - low) * (math.cos(along) / 2 + 0.5) + low
    if trial.warmup_fraction > 0:
        end = STEPS * max(trial.warmup_fraction, trial.constant_fraction)
        if end > step:
            rate = step / end * trial.learning_rate
    return rate


def published_run(trial: NAdamWTrial, w: np.ndarray) -> np.ndarray:
    m, v, path = np.zeros_like(w), np.zeros_like(w), []
    for step in range(STEPS):
        g = gradient(w) - w * trial.l2_weight_decay
        m = trial.beta1 * m + (1 - trial.beta1) * g
        v = trial.beta2 * v + (1 - trial.beta2) * g**2
        t = step + 1
        rate = published_rate(trial, step) * math.sqrt(1 - trial.beta2**t) / (1 - trial.beta1**t)
        top = trial.beta1 * m + (1 - trial.beta1) * g if trial.use_nesterov else m
        w = w - rate * top / (np.sqrt(v) + trial.epsilon) - rate * trial.adamw_weight_decay * w
        path.append(w)
    return np.array(path)


def our_runs(start: np.ndarray) -> np.ndarray:
    """All trials as lanes of one program."""

    def run(trial):
        made = nadamw_trial(trial, STEPS, trials=TRIALS)

        def step(carry, _):
            w, state = carry
            update, state = made.update(jnp.sin(3 * w) + 0.1 * w, state, w)
            after = optax.apply_updates(w, update)
            return (after, state), after

        w = jnp.asarray(start, jnp.float32)
        return jax.lax.scan(step, (w, made.init(w)), length=STEPS)[1]

    return np.asarray(jax.jit(jax.vmap(run))(jnp.arange(len(TRIALS))))


def test_every_trial_takes_the_published_path():
    start = np.linspace(-1.5, 2.0, 6).reshape(2, 3)
    for place, ours in enumerate(our_runs(start)):
        theirs = published_run(TRIALS[place], start)
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5, err_msg=f"trial {place}")


def test_with_any_warm_up_the_rate_rises_until_the_cosine_begins():
    start = jnp.ones(1)
    made = nadamw_trial(0, STEPS, trials=[dataclasses.replace(OTHERS[2], adamw_weight_decay=0.0)])
    state, sizes = made.init(start), []
    for _ in range(STEPS):
        update, state = made.update(jnp.ones(1), state, start)
        sizes.append(abs(np.asarray(update).item()))
    assert sizes[0] == 0
    assert int(np.argmax(sizes)) == STEPS // 2  # and not at a hundredth of the run
    assert sizes[5] < sizes[10] < sizes[14]


def test_the_l2_term_drives_parameters_away_from_zero():
    grow = nadamw_trial(0, STEPS, trials=[dataclasses.replace(OTHERS[0], adamw_weight_decay=0.0)])
    update, _ = grow.update(jnp.zeros(2), grow.init(jnp.zeros(2)), jnp.array([1.0, -1.0]))
    first, second = np.asarray(update)
    assert first > 0 > second


def test_a_trial_beyond_the_list_is_no_other_trial():
    with pytest.raises(SpecError, match="from 0 to 9"):
        nadamw_trial(10, STEPS, trials=FIRST_TEN)

    def first(trial):
        made = nadamw_trial(trial, STEPS, trials=FIRST_TEN)
        return made.update(jnp.ones(1), made.init(jnp.ones(1)), jnp.ones(1))[0]

    assert np.isnan(jax.jit(first)(jnp.int32(10))).all()
