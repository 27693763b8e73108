from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_tasks import quick, random_batch, small_spec

import velodrome
from velodrome.taskgen.families.mlp import MLPConfig
from velodrome.taskgen.nn import evolution
from velodrome.taskgen.nn.evolution import evolution_gradient, with_gradient
from velodrome.taskgen.space.fields import config_fields
from velodrome.taskgen.spec import TaskSpec

STD = 0.3


def quadratic(params, state, key, batch, dynamic):
    """A loss whose gradient is known, and that a Gaussian smooths to itself and a constant."""
    del key, dynamic
    x = params["x"]
    return x @ batch["matrix"] @ x + batch["vector"] @ x + params["y"] ** 2, state


@pytest.fixture
def problem(key):
    matrix = jax.random.normal(key, (3, 3))
    params = {"x": jnp.asarray([1.0, -2.0, 0.5]), "y": jnp.float32(3.0)}
    return params, {"matrix": matrix, "vector": jnp.arange(3.0)}


@pytest.mark.parametrize("pairs", [1, 8])
def test_the_estimate_is_unbiased_on_a_quadratic(pairs, problem, key, strict_dtypes):
    """Smoothing a quadratic by a Gaussian leaves its gradient as it is."""
    params, batch = problem
    estimated = with_gradient(
        quadratic, evolution_gradient(quadratic, pairs=pairs, std=lambda dynamic: STD)
    )

    def gradient(key):
        return jax.grad(estimated, has_aux=True)(params, {}, key, batch, None)[0]

    count = 16_000 // pairs
    estimates = jax.jit(jax.vmap(gradient))(jax.random.split(key, count))
    exact = jax.grad(quadratic, has_aux=True)(params, {}, key, batch, None)[0]
    norm = sum(float((leaf**2).sum()) for leaf in exact.values())
    for name, leaf in exact.items():
        found = np.asarray(estimates[name], np.float64)
        error = found.std(0) / np.sqrt(count)
        np.testing.assert_array_less(np.abs(found.mean(0) - leaf), 4.5 * error, name)
        # For one pair the variance of a component is |g|^2 + g_i^2.
        expected = np.sqrt((norm + np.asarray(leaf) ** 2) / pairs)
        np.testing.assert_allclose(found.std(0), expected, rtol=0.1)


def test_the_value_is_plain_and_the_gradient_is_what_the_losses_say(problem, key):
    params, batch = problem
    seen = []

    def counted(*args):
        seen.append(args)
        return quadratic(*args)

    estimated = with_gradient(
        counted, evolution_gradient(counted, pairs=2, std=lambda dynamic: STD)
    )
    value, state = estimated(params, {"kept": jnp.ones(2)}, key, batch, None)
    assert len(seen) == 1  # nothing is estimated where no gradient is asked for
    assert state["kept"].shape == (2,)
    (other, _), gradient = jax.value_and_grad(estimated, has_aux=True)(params, {}, key, batch, None)
    assert value == other == quadratic(params, {}, key, batch, None)[0]
    # Twice the value has twice the gradient, and other keys have other gradients.
    doubled = jax.grad(lambda p: 2 * estimated(p, {}, key, batch, None)[0])(params)
    np.testing.assert_allclose(doubled["x"], 2 * gradient["x"], rtol=1e-6)
    again = jax.grad(estimated, has_aux=True)(params, {}, jax.random.key(1), batch, None)[0]
    assert (again["x"] != gradient["x"]).all()


def test_pairs_one_by_one_give_what_pairs_side_by_side_give(problem, key, monkeypatch):
    params, batch = problem
    estimated = with_gradient(
        quadratic, evolution_gradient(quadratic, pairs=5, std=lambda dynamic: STD)
    )
    found = []
    for large in (1, 100):
        monkeypatch.setattr(evolution, "_LARGE", large)
        found.append(jax.grad(estimated, has_aux=True)(params, {}, key, batch, None)[0])
    one, other = found
    assert abs(one["y"]) > 0.1
    for name in params:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5)


def base_spec(spec):
    fields = {name: getattr(spec.config, name) for name in config_fields(MLPConfig)}
    return TaskSpec("mlp", fields, spec.data, spec.batch_size)


def test_the_loss_is_that_of_the_base_task(key):
    spec = small_spec("es_wrapped")
    task, base = velodrome.build(spec), velodrome.build(base_spec(spec))
    assert task.shapes == base.shapes
    params, state = quick(task.init)(key)
    same = jax.tree.map(np.array_equal, params, quick(base.init)(key)[0])
    assert jax.tree.all(same)
    batch = random_batch(spec, key)
    for train in (True, False):
        found, expected = (
            quick(partial(one.loss, train=train))(params, state, key, batch)[0]
            for one in (task, base)
        )
        assert found == expected


def test_estimates_point_along_the_true_gradient(key):
    """With many pairs and a small deviation."""
    spec = small_spec("es_wrapped", pairs=512, std=1e-3, activation="tanh")
    task, base = velodrome.build(spec), velodrome.build(base_spec(spec))
    params, state = quick(task.init)(key)
    batch = random_batch(spec, key)
    vectors = [
        jnp.concatenate(
            [
                leaf.ravel()
                for leaf in jax.tree.leaves(
                    quick(jax.grad(partial(one.loss, train=True), has_aux=True))(
                        params, state, key, batch
                    )[0]
                )
            ]
        )
        for one in (task, base)
    ]
    estimate, true = vectors
    size, pairs = true.size, spec.config.pairs
    # The estimate's component along the truth is right, and the rest is noise of known size.
    assert estimate @ true / (true @ true) == pytest.approx(1, abs=4 * np.sqrt(2 / pairs))
    cosine = estimate @ true / jnp.linalg.norm(estimate) / jnp.linalg.norm(true)
    assert cosine == pytest.approx(1 / np.sqrt(1 + size / pairs), abs=0.1)


def test_adam_trains_it(key):
    """An optimizer takes the estimate as it takes any gradient."""
    spec = dataclasses.replace(small_spec("es_wrapped", pairs=8, num_layers=1), batch_size=16)
    task, adam = velodrome.build(spec), optax.adam(3e-2)
    batch = random_batch(spec, key)

    @quick
    def train(key):
        params, state = task.init(key)

        def step(carry, key):
            params, memory = carry
            (loss, _), gradient = jax.value_and_grad(task.loss, has_aux=True)(
                params, state, key, batch, train=True
            )
            updates, memory = adam.update(gradient, memory, params)
            return (optax.apply_updates(params, updates), memory), loss

        return jax.lax.scan(step, (params, adam.init(params)), jax.random.split(key, 150))[1]

    losses = train(key)
    assert losses[-1] < 0.8 * losses[0]


def test_dynamic_deviation(key):
    """A traced deviation gives what a constant one does."""
    task = velodrome.build(small_spec("es_wrapped", std=0.05))
    other = velodrome.build(small_spec("es_wrapped", std=0.02))
    params, state = quick(task.init)(key)
    batch = random_batch(task.spec, key)

    def gradient(task, dynamic):
        return jax.grad(task.loss, has_aux=True)(
            params, state, key, batch, train=True, dynamic=dynamic
        )[0]

    traced = quick(lambda std: gradient(task, {"std": std}))(jnp.float32(0.02))
    for one, wanted, unlike in zip(
        *(jax.tree.leaves(tree) for tree in (traced, gradient(other, None), gradient(task, None))),
        strict=True,
    ):
        np.testing.assert_allclose(one, wanted, rtol=1e-2, atol=1e-4)
        assert not np.allclose(one, unlike, rtol=1e-2, atol=1e-4)
