"""Weights whose LSTM holds features: what they do at first is what is written about them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scripts.remake_weights import remake
from velodrome.foundation.errors import UnknownNameError, VelodromeError
from velodrome.optimizers.metatrain.config.config import load_plan
from velodrome.optimizers.metatrain.config.inner import ArchitectureConfig
from velodrome.optimizers.metatrain.config.search import SearchConfig
from velodrome.optimizers.metatrain.initial import initial_weights
from velodrome.optimizers.velo.controller import control, fold, initial_state
from velodrome.optimizers.velo.handmade.features import featured_weights
from velodrome.optimizers.velo.handmade.numbers import LATER, UNITS, Numbers
from velodrome.optimizers.velo.optimizer import velo_from_theta
from velodrome.optimizers.velo.tensor_statistics import Observation, Statistics, lstm_inputs
from velodrome.optimizers.velo.weights.store import load_weights, read_weights

POSITION = {unit.name: position for position, unit in enumerate(UNITS)}
RANKS = (2, 1, 4)
STEP, SMALL, DIRECTION = Numbers().step, Numbers().small, Numbers().direction
MATRIX, VECTOR, CONVOLUTION = range(3)


@pytest.fixture(scope="module")
def weights():
    return featured_weights(jax.random.key(0), hidden=32, bank=16)


@pytest.fixture(scope="module")
def run(weights):
    return _run_of(weights)


def _run_of(weights):
    """Run the LSTM over a run; return what its units say and the steps' sizes, update by update.

    Sizes are of a matrix, a vector and a convolution, in units of the parameters' own.
    """
    controller = fold(weights)

    @jax.jit
    def all_updates(length, noise, second, loss):
        # Momenta of decays 0.9, 0.99 and 0.999 of a gradient that is partly noise.
        variances = jnp.stack(
            [second * (1 - noise + noise * share) for share in (0.05, 0.005, 0.0005)] + [second]
        )
        means = jnp.zeros((4, 3)).at[3].set(second)
        statistics = Statistics(
            jnp.concatenate([means, jnp.broadcast_to(variances[:, None], (4, 3))])
        )

        def update(state, iteration):
            inputs = lstm_inputs(
                Observation(
                    statistics=statistics,
                    mean_square=jnp.ones(3),
                    ranks=RANKS,
                    fraction_trained=iteration / length,
                    loss=jnp.full(9, loss),
                )
            )
            networks, state = control(controller, inputs, state)
            size = 0.001 * networks[:, -1] * jnp.exp(0.001 * networks[:, -2])
            return state, (state.hidden, size)

        steps = jnp.arange(4000, dtype=jnp.float32)
        return jax.lax.scan(update, initial_state(controller, 3), steps)[1]

    def run(length: int, *, noise: float = 0.5, second: float = 1e-2, loss: float = -1.0):
        hidden, sizes = all_updates(jnp.float32(length), noise, second, loss)
        return np.asarray(hidden)[:length], np.asarray(sizes)[:length]

    return run


def test_steps_fall_from_twice_the_middle_to_about_nothing(run):
    _, sizes = run(200)
    matrix = sizes[:, MATRIX]
    assert 1.3 * STEP < matrix[5] < 2.2 * STEP
    assert abs(matrix[-1]) < 0.15 * STEP
    assert np.all(np.diff(matrix[20:]) < 0)


def test_steps_of_a_longer_run_are_shorter(run):
    middles = [run(length)[1][length // 2, MATRIX] for length in (100, 400, 1600, 4000)]
    assert middles == sorted(middles, reverse=True)
    assert 0.25 < middles[-1] / middles[0] < 0.5


def test_counters_hold_the_length_of_the_run(run):
    held = {n: run(n)[0][n // 2 :, MATRIX] for n in (100, 1000, 4000)}
    for name in ("long 200", "long 1000", "long 5000"):
        values = [held[n][:, POSITION[name]] for n in held]
        assert all(np.ptp(value) < 0.02 for value in values)
        means = [float(value.mean()) for value in values]
        assert means[0] < means[1] < means[2] <= 1


def test_units_tell_kinds_of_tensors_apart(run):
    hidden = run(100)[0][60]
    for kind, name in ((MATRIX, "matrix"), (VECTOR, "vector"), (CONVOLUTION, "convolution")):
        values = hidden[:, POSITION[name]]
        others = np.delete(values, kind)
        assert values[kind] > 0.5 and np.all(others < -0.5)


def test_units_tell_consistent_gradients_from_noise(run):
    noise, signal = (run(100, noise=share, second=10.0)[0][60, MATRIX] for share in (1.0, 0.0))
    for name in ("consistent 0.99", "consistent 0.999"):
        assert signal[POSITION[name]] > noise[POSITION[name]] + 0.3


def test_vectors_with_large_gradients_take_larger_steps(run):
    small, large = (run(200, second=second)[1][100] for second in (1e-6, 1e4))
    assert small[VECTOR] == pytest.approx(small[MATRIX], rel=0.1)
    assert large[VECTOR] == pytest.approx(SMALL * large[MATRIX], rel=0.2)


def test_the_direction_is_the_one_that_is_written_down(weights):
    """With gradients of one size all channels of them are alike: their signs."""
    rng = np.random.default_rng(0)
    params = jnp.asarray(rng.standard_normal((16, 8)), jnp.float32)
    signs = jnp.asarray(rng.choice([-1.0, 1.0], (16, 8)), jnp.float32)
    optimizer = velo_from_theta(weights, jnp.int32(100))
    state = optimizer.init(params)
    moved: Any = jax.jit(optimizer.update)(signs, state, params, value=jnp.float32(1.0))[0]
    scale = jnp.sqrt(jnp.mean(params**2))
    along = (DIRECTION["adam_0.9"] + DIRECTION["momentum_0.9"]) * signs
    wanted = -(along + DIRECTION["parameter"] * params / scale)
    found = np.asarray(moved / scale).ravel()
    size = found @ np.ravel(wanted) / np.sum(np.square(wanted))
    np.testing.assert_allclose(found, size * np.ravel(wanted), atol=2e-3 * size)
    assert 1.5 * STEP < size < 2.2 * STEP


def test_no_unit_with_a_meaning_is_read_by_another(weights):
    by_unit = np.asarray(weights.lstm_w)[32:]
    assert not np.any(by_unit[[place for name, place in POSITION.items() if name not in LATER]])
    assert np.all(np.any(by_unit[[POSITION[name] for name in LATER]] != 0, axis=1))
    # A later unit is there when a number reads it.
    numbers = Numbers(log_step=dict.fromkeys(LATER, 0.1))
    full = featured_weights(jax.random.key(0), hidden=32, bank=16, numbers=numbers)
    assert not np.any(full.lstm_w[32:])


def test_later_units_tell_noise_late_in_a_run_and_plateaus_early():
    numbers = Numbers(log_step=dict.fromkeys(LATER, 0.1))
    run = _run_of(featured_weights(jax.random.key(0), hidden=32, bank=16, numbers=numbers))

    def seen(name: str, at: int, **kind: float) -> float:
        return float(run(100, **kind)[0][at, MATRIX, POSITION[name]])

    assert abs(seen("noise, late", 9, noise=1.0, second=10.0)) < 0.2
    noise, signal = (seen("noise, late", 90, noise=share, second=10.0) for share in (1.0, 0.0))
    assert signal > 0.5 and noise < signal - 0.3
    for name in ("plateau", "still plateau"):
        assert seen(name, 15, second=1e-5, loss=0.0) > 0.3
        assert seen(name, 15, second=1e-5, loss=-1.0) < 0
        assert seen(name, 15, second=10.0, loss=0.0) < 0
        assert seen(name, 90, second=1e-5, loss=0.0) < 0
    assert seen("loss rises", 50, loss=0.5) > 0.5
    assert seen("loss rises", 50, loss=0.0) < -0.5


@pytest.mark.parametrize(
    "values",
    [
        {"direction": {"adam": 0.1}},
        {"log_step": {"long": 0.1}},
        {"mixture": {"long": {"parameter": 0.1}}},
        {"mixture": {"long 200": {"adam": 0.1}}},
    ],
)
def test_unknown_units_and_channels_are_refused(values):
    with pytest.raises(UnknownNameError, match="of the hand-made weights"):
        Numbers(**values)


def test_too_small_an_architecture_is_refused():
    with pytest.raises(VelodromeError, match="at least 32 and a bank of at least 16, not 31 and"):
        initial_weights(jax.random.key(0), ArchitectureConfig(hidden=31, bank=16, init="features"))


@pytest.mark.parametrize("name", ["velo-tiny", "velo-tiny-2", "velo-tiny-3"])
def test_built_in_weights_are_made_of_the_numbers_of_their_card(name):
    report = read_weights(name)
    made = remake(report.path.with_suffix(".json"))
    config = SearchConfig.from_json(report.card["training"]["config"])
    assert config == load_plan(name)
    for ours, theirs in zip(made, load_weights(name), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
