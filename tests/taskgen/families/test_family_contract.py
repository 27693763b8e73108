"""What every family's tasks do, put through one table."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_tasks import random_batch, small_spec

import velodrome
from velodrome.taskgen.registry import families
from velodrome.taskgen.sampler import MIXTURE
from velodrome.taskgen.space.config import dynamic_values, sample_config
from velodrome.taskgen.space.draws import NamedRng

VARIANTS = 8


def variants(family):
    """Dynamic values of eight sampled configs; where the published are fixed, others."""
    drawn = [
        dynamic_values(sample_config(families.get(family).config, NamedRng(0, index)))
        for index in range(VARIANTS)
    ]
    if family == "transformer":
        drawn = [{"dropout": 0.05 * i, "init_scale": 1.0 + i} for i in range(VARIANTS)]
    return drawn


@pytest.mark.parametrize("family", MIXTURE)
def test_eight_dynamic_variants_are_one_program(family, key):
    task = velodrome.build(small_spec(family))
    batch = random_batch(task.spec, key)
    tracings = 0

    def train(key, dynamic):
        nonlocal tracings
        tracings += 1
        params, state = task.init(key, dynamic)

        def loss(params):
            return task.loss(params, state, key, batch, train=True, dynamic=dynamic)[0]

        return jax.value_and_grad(loss)(params)

    values = variants(family)
    stacked = {name: jnp.asarray([value[name] for value in values]) for name in values[0]}
    together = jax.jit(jax.vmap(train, in_axes=(None, 0)))
    losses, gradients = together(key, stacked)
    rolled = {name: jnp.roll(column, 1) for name, column in stacked.items()}
    np.testing.assert_array_equal(together(key, rolled)[0], jnp.roll(losses, 1))
    assert tracings == 1  # the second call found the compiled program
    assert len(set(np.asarray(losses).tolist())) == VARIANTS
    # Constants take another way through the code, to the same numbers.
    loss, gradient = jax.jit(lambda key: train(key, values[4]))(key)
    np.testing.assert_allclose(losses[4], loss, rtol=2e-5)
    for many, one in zip(jax.tree.leaves(gradients), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(many[4], one, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("family", MIXTURE)
def test_contract(family, key, strict_dtypes):
    spec = small_spec(family)
    task = velodrome.build(spec)
    assert velodrome.build(spec) is task  # so that compiled programs are found again
    params, state = jax.jit(task.init)(key)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), (params, state)) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), task.shapes
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == task.cost.params
    assert all(isinstance(name, str) for name in params) and type(params) is dict
    batch = random_batch(spec, key)

    @jax.jit
    def both(params, state, key, batch):
        loss, new_state = task.loss(params, state, key, batch, train=False)
        return loss, new_state, task.metrics(params, state, key, batch)

    loss, new_state, metrics = both(params, state, key, batch)
    assert jax.tree.structure(new_state) == jax.tree.structure(state)
    assert loss.shape == () and np.isfinite(loss)
    total, count = metrics["loss"]
    np.testing.assert_allclose(total / count, loss, rtol=1e-6)
    assert 0 <= metrics["accuracy"][0] <= metrics["accuracy"][1] == count
    assert count == batch["label" if "label" in batch else "target"].size


@pytest.mark.parametrize("family", MIXTURE)
def test_gradient_descent_lowers_the_loss(family, key):
    task = velodrome.build(small_spec(family))
    params, state = task.init(key)
    batch = random_batch(task.spec, key)

    @jax.jit
    def train(params):
        def step(params, _):
            def loss(params):
                return task.loss(params, state, key, batch, train=False)[0]

            value, gradient = jax.value_and_grad(loss)(params)
            return jax.tree.map(lambda p, g: p - 0.3 * g, params, gradient), value

        return jax.lax.scan(step, params, None, length=60)[1]

    losses = train(params)
    assert losses[-1] < 0.9 * losses[0]
