"""Envelopes, moving averages, and when a loss is reached: by hand."""

from __future__ import annotations

import numpy as np
import pytest

from velodrome.results.speedup.definitions import DEFINITIONS
from velodrome.results.speedup.envelope import best_point, envelope, falling, steps_to_loss
from velodrome.results.speedup.smoothing import decay_of, ema


@pytest.mark.parametrize(
    ("target", "step"),
    [
        (4.0, 0.0),
        (3.0, 0.0),
        (2.5, 0.5),
        (2.0, 1.0),  # the plateau's first step
        (1.999999, 3.000001),  # the plateau's end: the inverse is discontinuous there
        (1.25, 3.75),
        (1.0, 4.0),
        (0.999, np.inf),
    ],
)
def test_steps_to_loss_by_hand(target: float, step: float):
    reached = np.array([3.0, 2.0, 2.0, 2.0, 1.0])
    found = steps_to_loss(np.arange(5), reached, np.array([target]))
    assert found[0] == pytest.approx(step, abs=1e-9)


def test_ties_are_those_of_jnp_interp():
    jnp = pytest.importorskip("jax.numpy")
    steps, reached = np.arange(6), np.array([3.0, 2.0, 2.0, 1.5, 1.0, 1.0])
    targets = np.array([2.75, 2.0, 1.75, 1.5, 1.25, 1.0])
    theirs = jnp.interp(
        jnp.asarray(targets, jnp.float32),
        jnp.asarray(reached[::-1], jnp.float32),
        jnp.asarray(steps[::-1], jnp.float32),
    )
    np.testing.assert_allclose(steps_to_loss(steps, reached, targets), theirs)


def test_envelope_by_hand():
    rates = np.array([[3.0, 2.5, 2.6, 2.0], [3.0, 2.0, np.inf, np.inf], [3.0, 2.9, 2.8, 1.0]])
    np.testing.assert_array_equal(envelope(rates), [3.0, 2.0, 2.0, 1.0])
    assert best_point(rates) == 2
    np.testing.assert_array_equal(envelope(rates, kind="single"), [3.0, 2.9, 2.8, 1.0])


def test_falling_at_other_steps_by_hand():
    steps, at = np.array([0, 10, 20, 30]), np.array([0.0, 5.0, 10.0, 25.0, 30.0])
    values = np.array([[4.0, 2.0, 3.0, 1.0], [4.0, 2.0, np.inf, np.inf]])
    found = falling(values, (steps, at))
    np.testing.assert_array_equal(found, [[4, 3, 2, 2, 1], [4, 3, 2, 2, 2]])
    late = falling(np.array([np.inf, np.inf, 3.0, 1.0]), (steps, at))
    np.testing.assert_array_equal(late, [np.inf, np.inf, np.inf, 2, 1])


def test_ema_by_hand():
    values = np.array([[4.0, 2.0, 1.0]])
    np.testing.assert_allclose(ema(values, alpha=0.5, debias=False), [[4, 3, 2]])
    debiased = [[4, (0.25 * 4 + 0.5 * 2) / 0.75, (0.125 * 4 + 0.25 * 2 + 0.5 * 1) / 0.875]]
    np.testing.assert_allclose(ema(values, alpha=0.5, debias=True), debiased)
    np.testing.assert_array_equal(ema(values, alpha=0.0, debias=True), values)
    constant = ema(np.full((1, 50), 3.0), alpha=0.9, debias=True)
    np.testing.assert_allclose(constant, 3.0)
    with pytest.raises(ValueError, match="alpha must be in"):
        ema(values, alpha=1.0, debias=True)


def test_decays():
    assert decay_of(20.0) == pytest.approx(0.95)
    default = DEFINITIONS["default"]
    assert default.decay(21) == 0 and default.decay(99) == 0
    assert default.decay(100) == pytest.approx(0.5)
    assert default.decay(1_000) == pytest.approx(0.95)
    assert DEFINITIONS["paper"].decay(21) == 0.95
