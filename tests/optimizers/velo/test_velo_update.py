"""VeLO against the plain oracle where the golden vectors do not reach, and as a transformation."""

from __future__ import annotations

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest
from golden_files import relative_error

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.velo.grouping import factored_dims
from velodrome.optimizers.velo.optimizer import (
    add_weight_decay,
    average_gradients,
    velo,
    velo_from_theta,
)
from velodrome.optimizers.velo.weights.tree import VeLOWeights, init_weights


def weights(seed: int = 0, hidden: int = 8, bank: int = 4) -> VeLOWeights:
    """Return made-up weights whose steps can be seen and do not diverge."""
    made = init_weights(jax.random.key(seed), hidden, bank)
    keys = jax.random.split(jax.random.key(seed + 1), len(made))
    noisy = [x + 0.05 * jax.random.normal(key, x.shape) for x, key in zip(made, keys, strict=True)]
    made = VeLOWeights(*noisy)
    return made._replace(step_size_w=0.1 * made.step_size_w, step_size_b=made.step_size_b + 0.1)


def problem(shapes: dict, steps: int, seed: int = 0):
    """Return parameters, and gradients and losses of each step; the losses rise and fall."""
    rng = np.random.default_rng(seed)
    params = {n: jnp.asarray(rng.normal(0, 0.3, s), jnp.float32) for n, s in shapes.items()}
    scales = 10.0 ** rng.uniform(-3, 1, steps)
    gradients = [
        {n: jnp.asarray(rng.normal(0, scale, s), jnp.float32) for n, s in shapes.items()}
        for scale in scales
    ]
    return params, gradients, 2.0 + 0.5 * rng.normal(size=steps)


def train(tx, params, gradients, losses) -> Any:
    state, update = jax.jit(tx.init)(params), jax.jit(tx.update)
    for gradient, loss in zip(gradients, losses, strict=True):
        updates, state = update(gradient, state, params, value=loss)
        params = optax.apply_updates(params, updates)
    return params


def train_oracle(theta, params, gradients, losses, num_steps):
    state, run = oracle.init(theta, params, num_steps), oracle.jitted(theta, num_steps)
    for gradient, loss in zip(gradients, losses, strict=True):
        params, state = run(params, state, gradient, loss)
    return params


@pytest.mark.parametrize(
    ("shapes", "num_steps"),
    [
        # Factored dimensions that tie and are both not the last, and many dimensions.
        ({"ties": (4, 4, 3, 3), "rank5": (2, 3, 1, 4, 5), "one": (1, 1)}, 7),
        # A stack of each kind, and vectors of more than one chunk.
        ({"a": (3, 4), "b": (3, 4), "c": (700,), "d": (3,), "e": ()}, 5000),
    ],
)
def test_equals_the_oracle(shapes, num_steps):
    theta = weights()
    params, gradients, losses = problem(shapes, steps=5)
    found = train(velo(num_steps, weights=theta), params, gradients, losses)
    expected = train_oracle(theta, params, gradients, losses, num_steps)
    for name in shapes:
        assert relative_error(found[name], expected[name]) <= 1e-5, name


@pytest.mark.parametrize(
    ("shape", "dims"),
    [
        ((64, 64, 3, 3), (0, 1)),
        ((16, 16, 3, 3), (0, 1)),
        ((3, 3, 8, 8), (2, 3)),
        ((5, 5, 1, 1), (0, 1)),
    ],
)
def test_ties_are_broken_by_position(shape, dims):
    assert factored_dims(shape) == dims
    assert factored_dims((7,)) is None


def test_variances_keep_their_digits():
    """A momentum of tiny spread about a large mean: the variance survives, in float32."""
    rng = np.random.default_rng(0)
    gradient = (5.0 + 1e-3 * rng.normal(size=(40, 30))).astype(np.float32)
    params = {"w": jnp.ones((40, 30), jnp.float32)}
    tx = velo(100, weights=weights())
    _, state = jax.jit(tx.update)({"w": jnp.asarray(gradient)}, tx.init(params), params, value=1.0)
    for k, decay in enumerate(np.asarray([0.9, 0.99, 0.999], np.float32)):
        exact = np.var(gradient.astype(np.float64) * float(np.float32(1) - decay))
        np.testing.assert_allclose(state.statistics.variances[k, 0], exact, rtol=1e-3)


def test_lanes_equal_single_runs():
    """Over a vmap of weights, parameters and a traced number of steps, all in one program."""
    shapes = {"a": (6, 4), "b": (6, 4), "c": (5,)}
    params, gradients, losses = problem(shapes, steps=4)
    thetas = jax.tree.map(lambda *x: jnp.stack(x), *(weights(seed) for seed in range(3)))
    lanes = jax.tree.map(lambda p: jnp.stack([p, 1.1 * p, 0.9 * p]), params)

    num_steps = jnp.asarray([50, 100, 200])
    states = jax.vmap(lambda theta, p, n: velo_from_theta(theta, n).init(p))(
        thetas, lanes, num_steps
    )

    def step(theta, params, state, n, gradient, loss):
        updates, state = velo_from_theta(theta, n).update(gradient, state, params, value=loss)
        return optax.apply_updates(params, updates), state

    step = jax.jit(jax.vmap(step, in_axes=(0, 0, 0, 0, None, None)))
    together = lanes
    for gradient, loss in zip(gradients, losses, strict=True):
        together, states = step(thetas, together, states, num_steps, gradient, loss)
    theta, start = jax.tree.map(lambda x: x[1], (thetas, lanes))
    alone = train_oracle(theta, start, gradients, losses, 100)
    for name in shapes:
        assert relative_error(together[name][1], alone[name]) <= 2e-5, name


def test_scan_with_donated_state_and_any_pytree(strict_dtypes):
    rng = np.random.default_rng(0)
    w = jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
    flat, nested = {"w": w}, {"layers": [{"w": w}], "empty": {}}
    tx = velo(10, weights=weights())

    def run(params):
        def step(carry, _):
            params, state = carry
            value, grads = jax.value_and_grad(
                lambda p: sum(jnp.sum(x**2) for x in jax.tree.leaves(p))
            )(params)
            updates, state = tx.update(grads, state, params, value=value)
            return (optax.apply_updates(params, updates), state), value

        return jax.lax.scan(step, (params, tx.init(params)), None, length=3)

    (params, state), losses = jax.jit(run)(flat)
    (same, _), same_losses = jax.jit(run)(nested)
    np.testing.assert_array_equal(losses, same_losses)
    np.testing.assert_array_equal(params["w"], same["layers"][0]["w"])
    assert state.iteration == 3

    update = jax.jit(tx.update, donate_argnums=(1,))
    once, state = update(params, tx.init(params), params, value=jnp.float32(1))
    update(params, state, params, value=jnp.float32(1))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    assert once["w"].shape == (4, 3)


@pytest.mark.long
def test_sharded_parameters():
    mesh = jax.make_mesh((2,), ("x",))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    params, gradients, losses = problem({"w": (8, 6), "v": (8, 6)}, steps=2)
    tx = velo(10, weights=weights())
    alone = train(tx, params, gradients, losses)
    params, gradients = cast(Any, jax.device_put((params, gradients), split))
    sharded = train(tx, params, gradients, losses)
    assert sharded["w"].sharding.is_equivalent_to(split, 2)
    for name in params:
        assert relative_error(sharded[name], alone[name]) <= 1e-5


def test_half_precision_parameters_get_updates_of_their_dtype():
    params, gradients, _ = problem({"w": (4, 3)}, steps=1)
    tx = velo(10, weights=weights())
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), (params, gradients[0]))
    updates, state = jax.jit(tx.update)(half[1], tx.init(half[0]), half[0], value=1.0)
    assert updates["w"].dtype == jnp.bfloat16
    assert state.groups[0].momentum.dtype == jnp.float32


def test_nan_gradients_stay():
    """Documented: a step with a gradient that is not finite has to be skipped by the caller."""
    params, gradients, _ = problem({"b": (3,)}, steps=1)
    tx = velo(10, weights=weights())
    bad = {"b": jnp.asarray([1.0, jnp.nan, 1.0])}
    updates, state = jax.jit(tx.update)(bad, tx.init(params), params, value=1.0)
    assert np.isnan(updates["b"]).all()
    updates, _ = jax.jit(tx.update)(gradients[0], state, params, value=1.0)
    assert np.isnan(updates["b"]).all()


def test_derivatives_go_through_an_update():
    params, gradients, _ = problem({"a": (3, 2), "b": (3, 2)}, steps=1)

    def size_of_step(change):
        shifted = theta._replace(step_size_b=theta.step_size_b + change)
        tx = cast(Any, velo_from_theta(shifted, 10))
        updates, _ = tx.update(gradients[0], tx.init(params), params, value=jnp.float32(1))
        return jnp.sum(updates["a"] ** 2)

    theta = weights()
    compiled = jax.jit(jax.value_and_grad(size_of_step))  # one program for both
    (_, slope), (above, _), (below, _) = map(compiled, (0.0, 0.01, -0.01))
    np.testing.assert_allclose(slope, (above - below) / 0.02, rtol=1e-2)


def test_tensors_without_elements_and_no_tensors_at_all():
    tx = velo(10, weights=weights())
    params = {"none": jnp.zeros((0, 3)), "w": jnp.ones((2, 2))}
    updates, _ = jax.jit(tx.update)(params, tx.init(params), params, value=1.0)
    assert updates["none"].shape == (0, 3)
    updates, _ = tx.update({}, tx.init({}), {}, value=1.0)
    assert updates == {}


def test_a_missing_argument_says_how_to_call():
    tx = velo(10, weights=weights())
    params = {"w": jnp.ones((2, 2))}
    call = r"value: got None.*update\(grads, state, params, value=loss\)"
    with pytest.raises(SpecError, match=call):
        tx.update(params, tx.init(params), params)
    with pytest.raises(SpecError, match="params: got None"):
        tx.update(params, tx.init(params), value=1.0)
    with pytest.raises(SpecError, match="a scalar"):
        tx.update(params, tx.init(params), params, value=jnp.ones(2))
    with pytest.raises(SpecError, match="int32.*floating point"):
        tx.init({"w": jnp.ones((2, 2), jnp.int32)})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_steps": 0}, "num_steps: got 0, but it must be an integer, 1 or more"),
        (
            {"num_steps": 10, "weight_decay": -1.0},
            "weight_decay: got -1.0.*finite number, 0 or more",
        ),
        ({"num_steps": 10, "max_training_steps": 0}, "max_training_steps: got 0"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(SpecError, match=message):
        velo(**arguments, weights=weights())


def test_updates_are_zero_while_gradients_accumulate():
    params, gradients, losses = problem({"w": (3, 2)}, steps=4)
    tx = cast(Any, velo(300_000, weights=weights()))
    state = tx.init(params)
    moved = []
    for gradient, loss in zip(gradients, losses, strict=True):
        updates, state = jax.jit(tx.update)(gradient, state, params, value=loss)
        moved.append(bool(jnp.any(updates["w"] != 0)))
    assert moved == [False, True, False, True]
    assert state.inner.iteration == 2


def test_sums_of_bfloat16_gradients_are_float32():
    """256 gradients of 1 + 1/128, which a sum in bfloat16 stops counting at 256."""
    seen = []

    def inner_update(updates, state, params=None, **extra):
        seen.append((updates["w"], extra["value"]))
        return jax.tree.map(jnp.zeros_like, params), state

    inner = optax.GradientTransformationExtraArgs(lambda params: (), inner_update)
    tx = cast(Any, average_gradients(inner, every=256))
    params = {"w": jnp.zeros((2, 2), jnp.bfloat16)}
    gradient = {"w": jnp.full((2, 2), 1 + 1 / 128, jnp.bfloat16)}
    state = tx.init(params)
    assert state.gradients["w"].dtype == jnp.float32
    step = jax.jit(lambda state: tx.update(gradient, state, params, value=jnp.bfloat16(3)))
    for _ in range(255):
        _, state = step(state)
    np.testing.assert_array_equal(state.gradients["w"], 255 * (1 + 1 / 128))
    updates, state = step(state)
    assert updates["w"].dtype == jnp.bfloat16
    assert {mean.dtype for mean, _ in seen} == {jnp.dtype("float32")}
    np.testing.assert_array_equal(state.gradients["w"], 0)


def test_the_penalty_on_bfloat16_parameters_is_added_in_float32():
    inner = optax.GradientTransformationExtraArgs(
        lambda params: (), lambda updates, state, params=None, **extra: (updates, state)
    )
    params = {"w": jnp.ones((2,), jnp.bfloat16)}
    tx = cast(Any, add_weight_decay(inner, 1 / 1024))
    decayed, _ = tx.update(params, tx.init(params), params, value=jnp.float32(0))
    np.testing.assert_array_equal(decayed["w"], 1 + 1 / 1024)  # 1, in bfloat16


def test_bfloat16_parameters_accumulate_and_keep_their_dtype(strict_dtypes):
    params, gradients, losses = problem({"w": (3, 2)}, steps=4)
    params, *gradients = (
        jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), tree) for tree in (params, *gradients)
    )
    tx = velo(300_000, weights=weights(), weight_decay=1e-3)
    state, moved = tx.init(params), []
    for gradient, loss in zip(gradients, losses, strict=True):
        updates, state = jax.jit(tx.update)(gradient, state, params, value=jnp.float32(loss))
        assert updates["w"].dtype == jnp.bfloat16
        moved.append(bool(jnp.any(updates["w"] != 0)))
    assert moved == [False, True, False, True]
