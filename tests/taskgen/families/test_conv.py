from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from velodrome.taskgen.nn.conv import conv2d, conv2d_im2col, max_pool


def native(image, kernel, stride):
    return jax.lax.conv_general_dilated(
        image, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(6, 6), (5, 8), (1, 2)])
@pytest.mark.parametrize("taps", [(3, 3), (1, 1), (5, 2)])
def test_im2col_is_the_native_convolution(stride, size, taps, key):
    keys = jax.random.split(key, 3)
    image = jax.random.normal(keys[0], (2, *size, 3))
    kernel = jax.random.normal(keys[1], (*taps, 3, 4))
    expected, pull_expected = jax.vjp(lambda i, k: native(i, k, stride), image, kernel)
    found, pull_found = jax.vjp(lambda i, k: conv2d_im2col(i, k, stride=stride), image, kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    cotangent = jax.random.normal(keys[2], expected.shape)
    for one, other in zip(pull_found(cotangent), pull_expected(cotangent), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_zeros_on_each_side(key):
    image = jax.random.normal(key, (2, 6, 3, 3))
    kernel = jax.random.normal(key, (7, 7, 3, 4))
    sides = ((3, 3), (3, 3))
    expected = jax.lax.conv_general_dilated(
        image, kernel, (2, 2), sides, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(
        conv2d(image, kernel, stride=2, padding=3), expected, rtol=1e-4, atol=1e-5
    )
    sides = ((0, 0), (1, 1), (1, 1), (0, 0))
    expected = jax.lax.reduce_window(
        image, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), sides
    )
    np.testing.assert_array_equal(max_pool(image, window=3, stride=2, padding=1), expected)


def test_the_form_follows_the_device(monkeypatch):
    image, kernel = jnp.zeros((1, 4, 4, 1)), jnp.zeros((3, 3, 1, 2))

    def primitives():
        jaxpr = jax.make_jaxpr(lambda i, k: conv2d(i, k, stride=2))(image, kernel)
        return {equation.primitive.name for equation in jaxpr.eqns}

    assert "dot_general" in primitives()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "conv_general_dilated" in primitives()
