"""Celo against runs of the original, and where these do not reach."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from celo_golden_files import INPUTS, STEPS, check, compiled, weights_of

from velodrome.optimizers.learned.celo import celo, writer_of
from velodrome.optimizers.learned.scheduler import initial_schedule, schedule, scheduler
from velodrome.optimizers.learned.weights.trees import CeloWeights
from velodrome.optimizers.velo.loss_averages import init_averages, loss_features, update_averages
from velodrome.optimizers.velo.reads import FLAT
from velodrome.optimizers.velo.tensor_statistics import (
    Observation,
    initial_statistics,
    shared_inputs,
)

TOLERANCES = (1e-6,) * 2 + (1e-5,) * 8 + (5e-5,) * 2


@pytest.fixture(scope="module")
def weights() -> CeloWeights:
    return weights_of("celo")


@pytest.fixture(scope="module")
def by_steps(weights: CeloWeights):
    """Return a function of the number of steps whose transformations share one program."""
    init = jax.jit(lambda n, params: celo(n, weights=weights).init(params))
    update = jax.jit(
        lambda n, g, state, params, value: celo(n, weights=weights).update(
            g, state, params, value=value
        )
    )

    def of(num_steps: int) -> optax.GradientTransformationExtraArgs:
        n = jnp.int32(num_steps)
        run: Any = lambda g, state, params, value: update(n, g, state, params, value)  # noqa: E731
        return optax.GradientTransformationExtraArgs(lambda params: init(n, params), run)

    return of


@pytest.mark.parametrize(
    ("prefix", "num_steps", "factor"),
    [
        ("", 100, 1.0),
        ("past_end/", 8, 1.0),  # the last four steps lie beyond the end of the run
        ("tiny/", 100, INPUTS["tiny/grad_multiplier"]),  # shows every epsilon
    ],
)
def test_every_step_of_every_tensor(by_steps, prefix: str, num_steps: int, factor: Any):
    tx = by_steps(num_steps)
    check(tx, lambda n: INPUTS[f"{prefix}params/{n}"], TOLERANCES, factor=factor)


@pytest.mark.long
@pytest.mark.parametrize(
    ("prefix", "options"), [("phase1/", {"phase": 1}), ("wd/", {"weight_decay": 0.01})]
)
def test_variants(weights: CeloWeights, prefix: str, options: dict):
    tx = compiled(celo(100, weights=weights, **options))
    check(tx, lambda n: INPUTS[f"{prefix}params/{n}"], TOLERANCES)


def test_what_the_scheduler_reads_and_writes(weights: CeloWeights):
    controller = scheduler(weights.scheduler)

    @jax.jit
    def step(averages, lstm, iteration, loss):
        averages = update_averages(averages, loss)
        features, fraction = loss_features(averages), iteration / jnp.float32(100)
        size, _, lstm = schedule(controller, fraction, features, lstm)
        return averages, lstm, shared_inputs(fraction, features), size

    averages, lstm = init_averages(100), initial_schedule(controller)
    for i in range(STEPS):
        loss = jnp.float32(INPUTS["losses"][i])
        averages, lstm, inputs, size = step(averages, lstm, jnp.float32(i), loss)
        last = i >= 10  # where a feature of the loss is near the edge of its clip
        tolerance = 1e-6 if i < 2 else 2e-3 if last else 2e-4
        np.testing.assert_allclose(inputs, INPUTS["inter/lstm_in"][i], atol=tolerance)
        tolerance = 1e-6 if i < 2 else 3e-4 if last else 5e-5
        np.testing.assert_allclose(size, INPUTS["inter/lr_mult"][i], rtol=tolerance)


def test_the_mean_over_a_bank_divides_by_its_size(weights: CeloWeights):
    """Two equal networks act as one of half their weights, whatever the controls."""
    doubled = {
        name: np.concatenate([2 * array] * 2)
        for name, array in weights._asdict().items()
        if name.startswith("bank")
    }
    controls = {
        "controls_w": np.ones((8, 2), np.float32),
        "controls_b": np.asarray([0.3, -1.0], np.float32),
    }
    pair = weights._replace(**doubled, **controls)
    seen = Observation(
        initial_statistics(2), jnp.ones(2), (1, 2), jnp.float32(0.5), jnp.linspace(-1, 1, 9)
    )
    written = []
    for some in (weights, pair):
        writer = writer_of(some)
        written.append(writer.write(seen, writer.initial_state(2))[0])
    assert written[0].shape == (2, FLAT)
    np.testing.assert_allclose(written[0], written[1], rtol=1e-5)
