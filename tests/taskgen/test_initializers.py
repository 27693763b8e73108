from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from velodrome.taskgen.nn import initializers
from velodrome.taskgen.nn.choices import INITIALIZERS

SHAPE = (3, 3, 24, 32)
FAN_IN = 3 * 3 * 24


# init_scale multiplies the deviation of the first two, and the variance of the last two.
@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("orthogonal", 2.0 / FAN_IN**0.5),
        ("uniform", 2.0 / FAN_IN**0.5),
        ("normal", (2.0 / FAN_IN) ** 0.5),
        ("vs_uniform", (2.0 / FAN_IN) ** 0.5),
    ],
)
def test_sampled_initializers_have_their_published_scale(name, std, key):
    index = INITIALIZERS.index(name)
    kernel = jax.jit(lambda key: initializers.sampled_initializer(index, 2.0)(key, SHAPE))(key)
    assert kernel.shape == SHAPE and kernel.dtype == jnp.float32
    assert float(kernel.std()) == pytest.approx(std, rel=0.03)
    assert float(kernel.mean()) == pytest.approx(0, abs=0.05 * std)
    bounded = float(abs(kernel).max()) <= 3**0.5 * std * 1.0001
    assert bounded == (name in ("uniform", "vs_uniform"))


def test_a_traced_index_chooses_as_a_constant_does(key):
    def init(index, scale):
        return initializers.sampled_initializer(index, scale)(key, (6, 4))

    traced = jax.jit(jax.vmap(init))(jnp.arange(4), jnp.full(4, 1.5))
    for index in range(4):
        np.testing.assert_allclose(traced[index], init(index, 1.5), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (9, 9), (3, 3, 2, 5)])
def test_orthogonal_kernels_are_the_positive_qr_of_a_normal_matrix(shape, key):
    kernel = initializers.orthogonal(3.0)(key, shape)
    matrix = np.asarray(kernel).reshape(-1, shape[-1]) / 3.0
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-5)
    # It equals LAPACK's, once the signs of R's diagonal are made positive.
    long, short = max(matrix.shape), min(matrix.shape)
    normal = np.asarray(jax.random.normal(key, (short, long))).T
    q, r = np.linalg.qr(normal)
    expected = q * np.sign(np.diag(r))
    found = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_truncated_normals(key):
    nominal = initializers.truncated_normal(2.0)(key, (400, 50))
    assert float(abs(nominal).max()) <= 4.0
    assert float(nominal.std()) == pytest.approx(2 * 0.8796, rel=0.02)
    default = initializers.fan_in_truncated_normal()(key, (400, 50))
    np.testing.assert_allclose(default, nominal / 40, rtol=1e-5)
    scaled = initializers.scaled_truncated_normal(3.0)(key, (400, 50))
    assert float(scaled.var()) == pytest.approx(3.0 / 400, rel=0.03)
