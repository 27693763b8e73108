"""VeLO against the plain oracle where the golden vectors do not reach, and as a transformation."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest
from flax import nnx
from golden_files import relative_error

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.velo.grouping import factored_dims
from velodrome.optimizers.velo.loss_averages import (
    init_averages,
    loss_features,
    update_averages,
)
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
        ({"a": (3, 4), "b": (3, 4), "c": (700,), "d": (3,), "e": (), "turned": (300, 9)}, 5000),
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
@pytest.mark.parametrize("axes", [("x",), (None, "x")])
@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_sharded_parameters(kind, axes):
    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType[kind],))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes))
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
    assert state.groups[0].averages.dtype == jnp.float32


def test_nan_gradients_stay():
    """Documented: a step with a gradient that is not finite has to be skipped by the caller."""
    params, gradients, _ = problem({"b": (3,)}, steps=1)
    tx = velo(10, weights=weights())
    bad = {"b": jnp.asarray([1.0, jnp.nan, 1.0])}
    updates, state = jax.jit(tx.update)(bad, tx.init(params), params, value=1.0)
    assert np.isnan(updates["b"]).all()
    updates, _ = jax.jit(tx.update)(gradients[0], state, params, value=1.0)
    assert np.isnan(updates["b"]).all()


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_loss_that_is_not_finite_is_left_out(bad):
    """The averages are those of a run that never saw it; the steps stay finite."""
    losses = [2.0, 1.5, bad, 1.75, bad, 1.0]
    averages = skipped = init_averages(100)
    for loss in losses:
        averages = update_averages(averages, jnp.float32(loss))
    for loss in filter(np.isfinite, losses):
        skipped = update_averages(skipped, jnp.float32(loss))
    jax.tree.map(np.testing.assert_array_equal, averages, skipped)
    np.testing.assert_array_equal(loss_features(averages), loss_features(skipped))
    assert averages.seen == 4
    first = update_averages(init_averages(100), jnp.float32(bad))
    jax.tree.map(np.testing.assert_array_equal, first, init_averages(100))
    params, gradients, _ = problem({"b": (3,)}, steps=len(losses))
    found = train(velo(100, weights=weights()), params, gradients, losses)
    assert np.isfinite(found["b"]).all()


def test_a_mean_over_steps_leaves_out_losses_that_are_not_finite():
    tx = cast(Any, velo(4, weights=weights(), max_training_steps=2))
    params, gradients, _ = problem({"b": (3,)}, steps=4)
    state = tx.init(params)
    for gradient, loss in zip(gradients, [2.0, np.nan, 1.0, 1.5], strict=True):
        _, state = tx.update(gradient, state, params, value=loss)
    expected = init_averages(2)
    for mean in (2.0, 1.25):
        expected = update_averages(expected, jnp.float32(mean))
    jax.tree.map(np.testing.assert_array_equal, state.inner.loss, expected)


@pytest.mark.parametrize(
    "shapes",
    [
        {"a": (4,)},
        pytest.param({"a": (3, 2), "b": (3, 2)}, marks=pytest.mark.long),  # a stack
    ],
)
def test_derivatives_go_through_an_update(shapes):
    """By the weights, the parameters, and gradients of which some are zero: finite, and right."""
    last = max(shapes)
    params, gradients, _ = problem(shapes, steps=1)
    gradient = {**gradients[0], last: gradients[0][last].at[1].set(0.0)}

    def size_of_step(change, params, gradient):
        shifted = theta._replace(step_size_b=theta.step_size_b + change)
        tx = cast(Any, velo_from_theta(shifted, 10))
        updates, _ = tx.update(gradient, tx.init(params), params, value=jnp.float32(1))
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(updates))

    theta = weights()
    compiled = jax.jit(jax.value_and_grad(size_of_step, (0, 1, 2)))  # one program for all
    at: Any = (0.0, params, gradient)
    slopes = compiled(*at)[1]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))

    def difference(argument: int, move: Any) -> Any:
        above, below = (
            compiled(*at[:argument], move(at[argument], sign * 0.01), *at[argument + 1 :])[0]
            for sign in (1, -1)
        )
        return (above - below) / 0.02

    np.testing.assert_allclose(slopes[0], difference(0, lambda x, by: x + by), rtol=1e-2)
    for argument in (1, 2):

        def scaled(tree, by):
            return {**tree, "a": (1 + by) * tree["a"]}

        slope = jnp.vdot(slopes[argument]["a"], at[argument]["a"])
        np.testing.assert_allclose(slope, difference(argument, scaled), rtol=2e-2)


def test_tensors_without_elements_and_no_tensors_at_all():
    tx = velo(10, weights=weights())
    params = {"none": jnp.zeros((0, 3)), "w": jnp.ones((2, 2))}
    updates, _ = jax.jit(tx.update)(params, tx.init(params), params, value=1.0)
    assert updates["none"].shape == (0, 3)
    updates, _ = tx.update({}, tx.init({}), {}, value=1.0)
    assert updates == {}


def test_parameters_sharded_by_channel_on_an_explicit_mesh():
    """Traced only: with a context of the mesh and without, alone and in a scan."""
    mesh = jax.make_mesh((2,), ("x",))  # explicit, as jax makes it
    last = jax.NamedSharding(mesh, jax.P(None, "x"))
    params = {
        "w": jax.device_put(jnp.ones((40, 60)), last),  # not a small group, nor one with another
        "v": jax.device_put(jnp.ones((4, 6)), last),
    }
    tx = cast(Any, velo(10, weights=weights()))

    def run(params):
        def body(carry, _):
            updates, state = tx.update(carry[0], carry[1], carry[0], value=jnp.float32(1))
            return (optax.apply_updates(carry[0], updates), state), updates

        return jax.lax.scan(body, (params, tx.init(params)), None, length=2)

    for context in (contextlib.nullcontext(), jax.set_mesh(mesh)):
        with context:
            (after, _), _ = jax.jit(run).eval_shape(params)
        assert after["w"].sharding.spec == jax.P(None, "x")


def test_a_parameter_without_a_gradient_stays():
    params, gradients, losses = problem({"a": (3, 2), "b": (3, 2)}, steps=2)
    found = train(
        velo(300_000, weights=weights(), weight_decay=0.1, max_training_steps=150_000),
        params,
        [{**gradient, "b": None} for gradient in gradients],
        losses,
    )
    np.testing.assert_array_equal(found["b"], params["b"])
    assert np.any(found["a"] != params["a"])


def _inject(num_steps):
    return optax.inject_hyperparams(velo)(num_steps, weights=weights())


def _optimizer_of_nnx():
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, velo(10), wrt=nnx.Param)
    optimizer.update(model, nnx.state(model, nnx.Param), value=jnp.float32(1))
    return nnx.state(model)


def test_velo_is_built_under_a_trace():
    """Its weights are constants, which a trace does not touch."""
    params = {"w": jnp.ones((2, 2))}

    def build_and_step(make):
        def step(params):
            tx = make(10)
            return tx.update(params, tx.init(params), params, value=jnp.float32(1))[0]

        return step

    expected = jax.jit(velo(10, weights=weights()).update)(
        params, velo(10, weights=weights()).init(params), params, value=1.0
    )[0]
    for make in (partial(velo, weights=weights()), _inject):
        found = jax.jit(build_and_step(make))(params)
        np.testing.assert_allclose(found["w"], expected["w"], rtol=1e-6)
    jax.eval_shape(build_and_step(velo), params)
    nnx.eval_shape(_optimizer_of_nnx)


def test_injected_numbers_may_change():
    params, gradients, losses = problem({"w": (3, 2)}, steps=1)
    tx = cast(Any, _inject(10))
    state = tx.init(params)
    update = jax.jit(tx.update)
    before, _ = update(gradients[0], state, params, value=losses[0])
    plain = cast(Any, velo(10, weights=weights(), weight_decay=0.5))
    state.hyperparams["weight_decay"] = jnp.float32(0.5)
    after, _ = update(gradients[0], state, params, value=losses[0])
    expected, _ = jax.jit(plain.update)(gradients[0], plain.init(params), params, value=losses[0])
    np.testing.assert_allclose(after["w"], expected["w"], rtol=1e-6)
    assert np.any(before["w"] != after["w"])


def test_a_gradient_of_another_shape_is_refused():
    tx = cast(Any, velo(10, weights=weights()))
    params = {"layer": {"w": jnp.ones((2, 3))}}
    message = r"gradient of params\['layer'\]\['w'\]: got \(3, 2\), .* shape \(2, 3\)"
    with pytest.raises(SpecError, match=message):
        tx.update({"layer": {"w": jnp.ones((3, 2))}}, tx.init(params), params, value=1.0)
    with pytest.raises(SpecError, match="got 'dict', but it must be an array, or None"):
        tx.update({"layer": {"w": {}}}, tx.init(params), params, value=1.0)
    with pytest.raises(SpecError, match=r"updates: got .*'v'.* must be gradients as .*'w'"):
        tx.update({"layer": {"v": jnp.ones((2, 3))}}, tx.init(params), params, value=1.0)


def test_the_state_of_another_run_is_refused():
    params = {"w": jnp.ones((2, 3))}
    tx, longer = cast(Any, (velo(10, weights=weights()), velo(300_000, weights=weights())))
    for made, state in (
        (tx, tx.init({"w": jnp.ones((2, 4))})),
        (tx, velo(10, weights=weights(hidden=4)).init(params)),
        (tx, longer.init(params)),
        (longer, tx.init(params)),
        (tx, {}),
    ):
        with pytest.raises(SpecError, match="state: got .* must be what `init` of this optimizer"):
            made.update(params, state, params, value=1.0)


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
