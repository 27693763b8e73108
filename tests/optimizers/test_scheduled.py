"""AdEMAMix, Prodigy and schedule-free AdamW against computations in numpy, from their papers."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.scheduled import slow_decay

STEPS = 40
START = np.linspace(-1.0, 2.0, 5)


def gradient(w, sin=np.sin):
    return sin(3 * w) + 0.2 * w


def our_path(
    name: str, hyperparameters: dict[str, float], steps: int = STEPS
) -> tuple[np.ndarray, optax.OptState]:
    made = optimizers.get(name).make(hyperparameters, num_steps=steps)

    def step(carry, _):
        w, state = carry
        update, state = made.update(gradient(w, jnp.sin), state, w)
        w = optax.apply_updates(w, update)
        return (w, state), w

    w = jnp.asarray(START, jnp.float32)
    (_, state), path = jax.lax.scan(step, (w, made.init(w)), length=steps)
    return np.asarray(path), state


def factor(step: int, steps: int = STEPS) -> float:
    """5% of warm-up, then a cosine, as ``cosine:NAME`` has it."""
    warm = steps // 20
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))


@pytest.mark.parametrize("name", ["ademamix", "cosine:ademamix"])
def test_ademamix(name: str):
    w, rate = START, 0.02
    fast, slow, square, path = 0.0, 0.0, 0.0, []
    for t in range(1, STEPS + 1):
        g, done = gradient(w), t / STEPS
        beta3 = math.exp(
            math.log(0.9) * math.log(0.9999)
            / ((1 - done) * math.log(0.9999) + done * math.log(0.9))
        )  # fmt: skip
        fast, slow = 0.9 * fast + 0.1 * g, beta3 * slow + (1 - beta3) * g
        square = 0.999 * square + 0.001 * g**2
        top = fast / (1 - 0.9**t) + 8 * done * slow
        step = top / (np.sqrt(square / (1 - 0.999**t)) + 1e-8) + 0.1 * w
        w = w - rate * (factor(t - 1) if name.startswith("cosine") else 1) * step
        path.append(w)
    ours, _ = our_path(name, {"learning_rate": rate})
    np.testing.assert_allclose(ours, path, rtol=1e-3, atol=1e-4)


def test_the_half_life_of_the_slow_average_grows_linearly():
    half_lives = [
        math.log(0.5) / math.log(float(slow_decay(done, 0.9999))) for done in (0.0, 0.5, 1.0)
    ]
    first, last = (math.log(0.5) / math.log(decay) for decay in (0.9, 0.9999))
    assert half_lives == pytest.approx([first, (first + last) / 2, last], rel=2e-3)


def test_prodigy():
    w, d, numerator, steps = START, 1e-6, 0.0, 300
    m, v, s, path = np.zeros(5), np.zeros(5), np.zeros(5), []
    beta3 = math.sqrt(0.999)
    for t in range(1, steps + 1):
        g = gradient(w)
        rate = d * factor(t - 1, steps)
        rate *= math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        m, v = 0.9 * m + 0.1 * d * g, 0.999 * v + 0.001 * (d * g) ** 2
        numerator = beta3 * numerator + d / 1e-6 * rate * np.dot(g, START - w)
        s = beta3 * s + d / 1e-6 * d * g  # without the rate: the safeguard of a warm-up
        before, d = d, max(d, numerator / np.abs(s).sum())
        assert before <= d
        w = w - rate * m / (np.sqrt(v) + d * 1e-8)
        path.append(w)
    ours, _ = our_path("prodigy", {}, steps)
    assert d > 1e-3  # it found a rate, from 1e-6
    np.testing.assert_allclose(ours, path, rtol=5e-3, atol=5e-3)


def test_prodigy_has_its_schedule_already():
    with pytest.raises(SpecError, match="of one with a learning rate, which prodigy lacks"):
        optimizers.get("cosine:prodigy")


def test_schedule_free_adamw_with_its_warm_up():
    z = x = y = START
    square, weights, path = 0.0, 0.0, []
    for t in range(1, STEPS + 1):
        # As in optax: the rate of an average's weight is that of the next step.
        g, rate, next_rate = gradient(y), 0.05 * min(1.0, (t - 1) / 2), 0.05 * min(1.0, t / 2)
        square = 0.999 * square + 0.001 * g**2
        z = z - rate * g / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
        weights += next_rate**2
        share = next_rate**2 / weights
        x = (1 - share) * x + share * z
        y = 0.1 * z + 0.9 * x
        path.append(y)
    ours, state = our_path("schedule_free_adamw_warmup", {"learning_rate": 0.05})
    np.testing.assert_allclose(ours[0], START, rtol=1e-6)  # the first rate is 0
    np.testing.assert_allclose(ours, path, rtol=1e-3, atol=1e-4)
    average = optax.contrib.schedule_free_eval_params(state, jnp.asarray(ours[-1]))
    np.testing.assert_allclose(average, x, rtol=1e-3, atol=1e-4)
