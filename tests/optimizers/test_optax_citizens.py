"""Optax's own contract, for every registered optimizer: wrappers, dtypes, and odd parameters.

Most of it is checked without running anything: an abstract trace shows errors of structure, shape
and type. What is compiled is quick for one optimizer of each kind, and long for the others.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import flax.serialization
import jax
import jax.numpy as jnp
import learned_weights
import numpy as np
import optax
import optax.contrib
import pytest

from velodrome.optimizers.probe import update_arguments
from velodrome.optimizers.registry import optimizers

NAMES = optimizers.names()
#: One of each kind: plain, evaluated elsewhere than it steps, wrapped by us, learned.
KINDS = ("adam", "schedule_free_adamw", "sm3", "velo")
WANT_ARRAYS = (
    *("adafactor", "fromage", "lamb", "lars", "muon"),
    *("schedule_free_adamw", "schedule_free_adamw_warmup"),
)


def some(quick: tuple[str, ...]) -> pytest.MarkDecorator:
    """All optimizers, of which ``quick`` are not long."""
    return pytest.mark.parametrize(
        "name", [pytest.param(n, marks=[] if n in quick else [pytest.mark.long]) for n in NAMES]
    )


by_name = some(quick=tuple(name for name in NAMES if name not in learned_weights.ALIKE))


@pytest.fixture(autouse=True)
def _no_strict_promotion():
    # optax itself mixes types and ranks (SM3 broadcasts); only ours must not.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def parameters(dtype: Any = jnp.float32) -> dict[str, jax.Array]:
    return {
        "b": jnp.asarray([0.5, -0.25, 1.0], dtype),
        "s": jnp.asarray(0.75, dtype),
        "w": jnp.linspace(-1.0, 1.0, 12, dtype=dtype).reshape(4, 3),
    }


def loss_of(params: Any) -> jax.Array:
    return sum(
        (jnp.sum(jnp.square(leaf)).astype(jnp.float32) for leaf in jax.tree.leaves(params)),
        jnp.float32(0),
    )


spec_of = functools.cache(learned_weights.spec_of)


def made(name: str) -> optax.GradientTransformationExtraArgs:
    spec = spec_of(name)
    return spec.make(spec.points[len(spec.points) // 2], num_steps=10)


def step_of(name: str, tx: optax.GradientTransformationExtraArgs) -> Callable[..., Any]:
    """Return ``step(params, state) -> (params, state, updates)``."""

    def step(params: Any, state: Any) -> tuple[Any, Any, Any]:
        value, grad = jax.value_and_grad(loss_of)(params)
        extra = update_arguments(
            spec_of(name).needs, loss_fn=loss_of, value=value, grad=grad, key=jax.random.key(0)
        )
        updates, state = optax.with_extra_args_support(tx).update(grad, state, params, **extra)
        return optax.apply_updates(params, updates), state, updates

    return step


def types(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), tree)


def check_types(name: str, tx: Any, params: Any) -> None:
    """Trace an update: it is typed as the parameters, and the state keeps its types."""

    def run(params: Any) -> tuple[Any, Any, Any]:
        state = tx.init(params)
        _, new, updates = step_of(name, tx)(params, state)
        return state, new, updates

    state, new, updates = jax.eval_shape(run, params)
    assert types(updates) == types(params)
    assert types(state) == types(new)


def _multi_steps(every: Any) -> optax.GradientTransformationExtraArgs:
    # Its own method `gradient_transformation` passes no keywords on.
    return optax.GradientTransformationExtraArgs(every.init, every.update)


MASK = {"b": False, "s": True, "w": True}
LABELS = {"b": "other", "s": "this", "w": "this"}
WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "alone": lambda tx: tx,
    "apply_if_finite": lambda tx: optax.apply_if_finite(tx, 3),
    "chain": lambda tx: optax.chain(optax.clip_by_global_norm(1.0), tx, optax.scale(0.5)),
    "named_chain": lambda tx: optax.named_chain(("clip", optax.clip(1.0)), ("this", tx)),
    "flatten": optax.flatten,
    "masked": lambda tx: optax.masked(tx, MASK),
    "partition": lambda tx: optax.partition({"this": tx, "other": optax.sgd(0.1)}, LABELS),
    "MultiSteps": lambda tx: _multi_steps(optax.MultiSteps(tx, 2)),
    "schedule_free": lambda tx: optax.contrib.schedule_free(tx, 1.0),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@by_name
def test_wrappers(name: str, wrapper: str):
    check_types(name, WRAPPERS[wrapper](made(name)), parameters())


@by_name
def test_hyperparameters_can_be_injected(name: str):
    spec = spec_of(name)
    fixed = set(inspect.signature(spec.factory).parameters) - spec.traced
    point = spec.points[len(spec.points) // 2]
    arguments = {**point, "num_steps": 10} if "num_steps" in spec.needs else point
    check_types(
        name, optax.inject_hyperparams(spec.factory, static_args=fixed)(**arguments), parameters()
    )


@by_name
def test_lookahead(name: str):
    """It passes no keywords on, so an optimizer that needs some cannot be the fast one."""
    if spec_of(name).needs - {"num_steps"}:
        pytest.skip("optax.lookahead passes no extra arguments on")
    tx = optax.lookahead(made(name), sync_period=2, slow_step_size=0.5)

    def run(params: Any) -> tuple[Any, ...]:
        both = optax.LookaheadParams.init_synced(params)
        state = tx.init(both)
        return both, state, *tx.update(jax.grad(loss_of)(params), state, both)

    both, state, updates, new = jax.eval_shape(run, parameters())
    assert types(updates) == types(both)
    assert types(new) == types(state)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@by_name
def test_half_precision(name: str, dtype: str):
    tx, params = made(name), parameters(dtype)
    state = jax.eval_shape(tx.init, params)
    _, _, updates = jax.eval_shape(step_of(name, tx), params, state)
    assert types(updates) == types(params)


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({**parameters(), "none": jnp.zeros((0, 3))}, id="no elements"),
        pytest.param({"a": jnp.asarray(1.0), "b": jnp.zeros((2,)) + 1.0}, id="weak types"),
        pytest.param({}, id="no tensors"),
        pytest.param(jnp.ones((3, 2)), id="one array"),
        pytest.param({"a": [jnp.ones((2,)), {"b": (jnp.ones(()),)}], "empty": {}}, id="nested"),
    ],
)
@by_name
def test_odd_parameters(name: str, params: Any):
    if name == "muon" and any(leaf.size == 0 for leaf in jax.tree.leaves(params)):
        pytest.skip("optax.contrib.muon itself divides by the size of a matrix")
    tx = made(name)
    step = step_of(name, tx)

    def scanned(params: Any) -> Any:
        def body(carry: Any, _: None) -> tuple[Any, None]:
            return step(*carry)[:2], None

        return jax.lax.scan(body, (params, tx.init(params)), None, length=2)[0][0]

    assert types(jax.eval_shape(scanned, params)) == types(params)


@by_name
def test_python_floats_are_parameters(name: str):
    if name in WANT_ARRAYS:
        pytest.skip("optax's own optimizer reads the shape or the dtype of its parameters")
    tx = made(name)
    params = {"a": 1.0, "b": 2.0}
    moved, _, updates = jax.eval_shape(
        lambda: step_of(name, tx)(params, tx.init(params))  # not traced: Python floats
    )
    assert jax.tree.map(jnp.shape, (moved, updates)) == ({"a": (), "b": ()},) * 2


@by_name
def test_state_dicts_and_tree_maps(name: str):
    tx = made(name)
    state = tx.init(parameters())
    stored = flax.serialization.to_bytes(state)
    empty = jax.tree.map(jnp.zeros_like, state)
    jax.tree.map(np.testing.assert_array_equal, flax.serialization.from_bytes(empty, stored), state)
    mapped = optax.tree_map_params(tx, lambda leaf: leaf + 1, state)
    assert types(mapped) == types(state)
    jax.eval_shape(step_of(name, tx), parameters(), mapped)


def _extras(name: str) -> dict[str, object]:
    return {"value": jnp.float32(1)} if "value" in spec_of(name).needs else {}


@some(quick=KINDS[:-1])  # VeLO's own tests do this
def test_donated_state_sharded_parameters_and_a_scan_agree(name: str):
    """Three updates: one after another with donated state, in a scan, and on a mesh."""
    tx = made(name)
    step = step_of(name, tx)

    def scan(params: Any) -> Any:
        def body(carry: Any, _: None) -> tuple[Any, None]:
            return step(*carry)[:2], None

        return jax.lax.scan(body, (params, tx.init(params)), None, length=3)[0][0]

    scanned = jax.jit(scan)(parameters())
    donating = jax.jit(lambda params, state: step(params, state)[:2], donate_argnums=(1,))
    params, state = parameters(), jax.tree.map(jnp.copy, tx.init(parameters()))
    for _ in range(3):
        given = state
        params, state = donating(params, state)
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(given) if leaf.size > 3)
    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.tree.map(
        lambda leaf: jax.device_put(
            leaf, jax.NamedSharding(mesh, jax.P("x") if leaf.shape == (4, 3) else jax.P())
        ),
        parameters(),
    )
    sharded = jax.jit(scan)(spread)
    for other in (params, sharded):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), other, scanned
        )


@some(quick=KINDS)
def test_apply_if_finite_skips_a_gradient_that_is_not_finite(name: str):
    tx = optax.apply_if_finite(made(name), 3)
    params = parameters()
    bad = {**params, "b": jnp.asarray([1.0, jnp.nan, 1.0])}
    state: Any = tx.init(params)
    updates, skipped = jax.jit(tx.update)(bad, state, params, **_extras(name))
    assert int(skipped.total_notfinite) == 1
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(updates))
    jax.tree.map(np.testing.assert_array_equal, skipped.inner_state, state.inner_state)
