"""Traced dynamic values, tasks found again, and learning, for the families of the mixture.

`tests/velodrome/test_check_family.py` puts every family through the contract.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from image_variants import quick
from small_tasks import random_batch, small_spec

import velodrome
from velodrome.taskgen.sampler import MIXTURE

DYNAMIC = {
    "cnn": {"activation": 3, "initializer": 1, "init_scale": 0.7},
    "transformer": {"dropout": 0.2, "init_scale": 3.0},
}


@pytest.mark.parametrize("family", DYNAMIC)
def test_gradients_of_traced_dynamic_values_are_those_of_constants(family, key):
    task = velodrome.build(small_spec(family))
    batch, values = random_batch(task.spec, key), DYNAMIC[family]

    def gradient(dynamic):
        params, state = task.init(key, dynamic)
        return jax.grad(task.loss, has_aux=True)(
            params, state, key, batch, train=True, dynamic=dynamic
        )[0]

    traced = quick(gradient)({name: jnp.asarray(value) for name, value in values.items()})
    constant = quick(lambda: gradient(values))()
    for one, other in zip(jax.tree.leaves(traced), jax.tree.leaves(constant), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("family", MIXTURE)
def test_gradient_descent_lowers_the_loss(family, key, strict_dtypes):
    task = velodrome.build(small_spec(family))
    assert velodrome.build(small_spec(family)) is task  # so that compiled programs are found again
    batch = random_batch(task.spec, key)

    @quick
    def train(key):
        params, state = task.init(key)

        def step(params, _):
            def loss(params):
                return task.loss(params, state, key, batch, train=False)[0]

            value, gradient = jax.value_and_grad(loss)(params)
            return jax.tree.map(lambda p, g: p - 0.3 * g, params, gradient), value

        return params, jax.lax.scan(step, params, None, length=60)[1]

    params, losses = train(key)
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), task.shapes[0])
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), params) == shapes
    assert losses[-1] < 0.9 * losses[0]
