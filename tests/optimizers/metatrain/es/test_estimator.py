"""The estimator against known answers."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from velodrome.optimizers.metatrain.es.estimator import estimate, perturb
from velodrome.taskgen.nn.evolution import unit_noise

PAIRS = 20_000
SIGMA = 0.05


@pytest.fixture
def theta():
    return {"a": jnp.asarray([0.5, -1.0, 2.0], jnp.float32), "b": jnp.asarray(0.3, jnp.float32)}


def _vector(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def _quadratic(theta) -> jax.Array:
    curvature = jnp.asarray([1.0, 3.0, 0.5], jnp.float32)
    return 0.5 * jnp.sum(curvature * theta["a"] ** 2) + 2.0 * theta["b"] ** 2 + 1.0


def _estimate(key, theta, *, shaping, scales=None, loss=_quadratic):
    scales = scales or {"a": 1.0, "b": 1.0}
    noise = unit_noise(key, theta, PAIRS)
    losses = jax.vmap(jax.vmap(loss))(perturb(theta, noise, scales, sigma=SIGMA))
    return estimate(losses, noise, sigma=SIGMA, shaping=shaping), noise, losses


def _standard_error(noise, weights) -> np.ndarray:
    leaves = [np.reshape(leaf, (PAIRS, -1))[:200] for leaf in jax.tree.leaves(noise)]
    rows = np.concatenate(leaves, axis=1)
    spread = np.std(np.asarray(weights)[:200, None] * rows, axis=0)
    return spread / (2 * SIGMA) / math.sqrt(PAIRS)


def test_raw_estimate_is_the_gradient_of_a_quadratic(key, theta):
    found, noise, losses = _estimate(key, theta, shaping="raw")
    error = _vector(found.gradient) - _vector(jax.grad(_quadratic)(theta))
    assert np.all(np.abs(error) < 4.5 * _standard_error(noise, losses[:, 0] - losses[:, 1]))
    assert found.dropped == 0


def test_log_estimate_is_the_gradient_of_the_logarithm(key, theta):
    found, noise, losses = _estimate(key, theta, shaping="log")
    error = _vector(found.gradient) - _vector(jax.grad(lambda t: jnp.log(_quadratic(t)))(theta))
    # Besides the noise there is a bias of the order of sigma squared.
    noise_level = _standard_error(noise, jnp.log(losses[:, 0] / losses[:, 1]))
    assert np.all(np.abs(error) < 4.5 * noise_level + SIGMA**2)


def test_sign_estimate_is_the_gradient_direction_with_the_known_length(key, theta):
    found, noise, losses = _estimate(key, theta, shaping="sign")
    gradient = _vector(jax.grad(_quadratic)(theta))
    expected = math.sqrt(2 / math.pi) / (2 * SIGMA) * gradient / np.linalg.norm(gradient)
    error = _vector(found.gradient) - expected
    assert np.all(
        np.abs(error) < 4.5 * _standard_error(noise, jnp.sign(losses[:, 0] - losses[:, 1]))
    )


def test_scales_stretch_the_search_space(key, theta):
    scales = {"a": 1.0, "b": 10.0}
    found, noise, losses = _estimate(key, theta, shaping="raw", scales=scales)
    gradient = jax.grad(_quadratic)(theta)
    expected = _vector({"a": gradient["a"], "b": 10.0 * gradient["b"]})
    error = _vector(found.gradient) - expected
    assert np.all(np.abs(error) < 4.5 * _standard_error(noise, losses[:, 0] - losses[:, 1]))


def test_pairs_with_a_loss_that_is_not_finite_are_dropped_and_counted(key, theta):
    noise = unit_noise(key, theta, 4)
    losses = jnp.asarray([[1.0, 2.0], [jnp.nan, 1.0], [3.0, 1.0], [2.0, jnp.inf]], jnp.float32)
    found = estimate(losses, noise, sigma=SIGMA, shaping="raw")
    kept = jnp.asarray([0, 2])
    alone = estimate(
        losses[kept], jax.tree.map(lambda x: x[kept], noise), sigma=SIGMA, shaping="raw"
    )
    assert found.dropped == 2
    assert found.loss == pytest.approx(1.75)
    np.testing.assert_allclose(_vector(found.gradient), _vector(alone.gradient), rtol=1e-6)


def test_only_dropped_pairs_give_a_zero_gradient(key, theta):
    noise = unit_noise(key, theta, 2)
    losses = jnp.full((2, 2), jnp.nan)
    found = estimate(losses, noise, sigma=SIGMA, shaping="sign")
    assert found.dropped == 2
    assert np.all(_vector(found.gradient) == 0)
