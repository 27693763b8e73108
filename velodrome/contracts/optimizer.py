"""The contract of optimizers, as one table of checks that users can run too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import PyTree

from velodrome.foundation.errors import VelodromeError
from velodrome.optimizers.evaluated import evaluated_params, evaluates_elsewhere
from velodrome.optimizers.probe import update_arguments
from velodrome.optimizers.spec import OptimizerSpec, Point

_STEPS = 60
_WIDTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)

Result = TypeVar("Result")


def toy_params() -> dict[str, PyTree]:
    """Return a matrix, a vector, a scalar and a convolution kernel, away from the optimum at 0."""
    keys = jax.random.split(jax.random.key(0), 3)
    return {
        "dense": {
            "w": jax.random.normal(keys[0], (6, 5), jnp.float32),
            "b": jax.random.normal(keys[1], (5,), jnp.float32),
        },
        "scale": jnp.float32(1.5),
        "conv": jax.random.normal(keys[2], (3, 3, 2, 4), jnp.float32),
    }


def quadratic(params: PyTree, width: ArrayLike = 1.0) -> jax.Array:
    """Return an ill-conditioned quadratic (condition number 10) with its minimum, 0, at 0.

    It has the same gradients at ``width`` times the parameters.
    """
    total = jnp.float32(0)
    for leaf in jax.tree.leaves(params):
        curvature = jnp.linspace(0.2, 2.0, leaf.size, dtype=jnp.float32).reshape(leaf.shape)
        total = total + 0.5 * jnp.sum(curvature * leaf**2)
    return total / width


def train(
    spec: OptimizerSpec,
    hyperparameters: Mapping[str, object],
    *,
    width: ArrayLike = 1.0,
    steps: int = _STEPS,
) -> tuple[jax.Array, PyTree, PyTree]:
    """Run ``steps`` updates on a `quadratic` of that width in one scan.

    Returns:
      The losses before each update (shape ``[steps]``), the last parameters as the optimizer
      evaluates them, and its last state.
    """
    transformation = spec.make(hyperparameters, num_steps=steps)
    loss_fn = partial(quadratic, width=width)

    def step(
        carry: tuple[PyTree, PyTree], key: jax.Array
    ) -> tuple[tuple[PyTree, PyTree], jax.Array]:
        params, state = carry
        loss, grad = jax.value_and_grad(loss_fn)(params)
        extra = update_arguments(spec.needs, loss_fn=loss_fn, value=loss, grad=grad, key=key)
        updates, state = transformation.update(grad, state, params, **extra)
        return (optax.apply_updates(params, updates), state), loss

    params = jax.tree.map(lambda leaf: width * leaf, toy_params())
    carry = (params, transformation.init(params))
    elsewhere = evaluates_elsewhere(carry[1])
    (params, state), losses = jax.lax.scan(step, carry, jax.random.split(jax.random.key(1), steps))
    if spec.eval_params is not None or elsewhere:
        params = (spec.eval_params or evaluated_params)(state, params)
    return losses, params, state


def check_signature(spec: OptimizerSpec) -> None:
    """The factory takes the points of the grid, and gets ``num_steps`` only if it is needed."""
    for point in spec.points[:1] + spec.points[-1:]:
        made = spec.make(point, num_steps=_STEPS if "num_steps" in spec.needs else None)
        evaluates_elsewhere(made.init(toy_params()))  # refuses what cannot be evaluated


def check_shapes(spec: OptimizerSpec) -> None:
    """Updates have the parameters' shapes and types; the state keeps its own, when traced."""
    params = toy_params()
    transformation = spec.make(_middle(spec), num_steps=_STEPS)

    def update(params: PyTree, key: jax.Array) -> tuple[PyTree, PyTree, PyTree]:
        state = transformation.init(params)
        loss, grad = jax.value_and_grad(quadratic)(params)
        extra = update_arguments(spec.needs, loss_fn=quadratic, value=loss, grad=grad, key=key)
        return state, *transformation.update(grad, state, params, **extra)

    state, updates, new_state = jax.eval_shape(update, params, jax.random.key(2))
    _require(_shapes(updates) == _shapes(params), "updates differ from the parameters in shape")
    _require(_shapes(new_state) == _shapes(state), "the state changes shape or type at an update")


def check_sweep(spec: OptimizerSpec) -> None:
    """A sweep runs as lanes of one scan; some point of it halves a quadratic in 60 updates.

    Every second point is tried, from the last one down, but at most eight. The lane of the
    lowest rate equals the same run alone: at the highest ones training is chaotic, and rounding
    alone makes runs differ. The quadratic may be narrow, so that low rates do too.
    """
    points = spec.points[::-2][:8]
    programs: dict[tuple[tuple[str, str], ...], list[Point]] = {}
    for point in points:
        static = tuple((name, repr(point[name])) for name in sorted(spec.static & point.keys()))
        programs.setdefault(static, []).append(point)
    _require(
        any(_check_lanes(spec, members) for members in programs.values()),
        f"no point of the sweep halves a quadratic in {_STEPS} updates, however narrow it is",
    )


def _check_lanes(spec: OptimizerSpec, points: list[Point]) -> bool:
    """Compare lanes with a single run; return whether one halves a quadratic of some width."""
    traced = spec.traced & points[0].keys()
    static = {name: value for name, value in points[0].items() if name not in traced}
    lanes = {name: jnp.asarray([point[name] for point in points]) for name in traced}

    def run(lane: Mapping[str, jax.Array], width: jax.Array) -> tuple[jax.Array, jax.Array]:
        losses, params, _ = train(spec, {**lane, **static}, width=width)
        return losses, quadratic(params, width)

    single = _jit(run)
    every = _jit(jax.vmap(run, in_axes=(0, None))) if traced else single
    for width in _WIDTHS:
        losses, last = every(lanes, jnp.float32(width))
        if traced and width == 1.0:
            alone, _ = single({name: values[-1] for name, values in lanes.items()}, width)
            same = jnp.allclose(losses[-1, :5], alone[:5], rtol=1e-4, atol=1e-6)
            _require(bool(same), "lanes of a vmap over the sweep differ from single runs")
        if bool(jnp.nanmin(last) < 0.5 * width * quadratic(toy_params())):
            return True
    return False


def check_needs(spec: OptimizerSpec) -> None:
    """It works with exactly what it needs (as the other checks pass it), and uses no more.

    Arguments that it does not need may be passed all the same, and change nothing; unless it
    needs ``value_fn``: optax's line searches hand all other arguments to that function.
    """
    if "num_steps" in spec.needs:
        try:
            spec.make(_middle(spec), num_steps=None)
        except VelodromeError:
            pass
        else:
            _require(False, "num_steps is needed, but make() does without")
    transformation = spec.make(_middle(spec), num_steps=_STEPS)

    def both(params: PyTree, key: jax.Array) -> tuple[PyTree, PyTree]:
        loss, grad = jax.value_and_grad(quadratic)(params)
        extra = update_arguments(spec.needs, loss_fn=quadratic, value=loss, grad=grad, key=key)
        state = transformation.init(params)
        needed, _ = transformation.update(grad, state, params, **extra)
        if "value_fn" not in spec.needs:
            extra["unknown_to_all"] = 1.0
        spare, _ = transformation.update(grad, state, params, **extra)
        return needed, spare

    needed, spare = _jit(both)(toy_params(), jax.random.key(3))
    same = jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), needed, spare))
    _require(same, "an argument that it does not need changes the update")


#: The contract, by name.
CHECKS: dict[str, Callable[[OptimizerSpec], None]] = {
    "signature": check_signature,
    "shapes": check_shapes,
    "sweep": check_sweep,
    "needs": check_needs,
}


def _jit(function: Callable[..., Result]) -> Callable[..., Result]:
    """Compile without optimisation: each program runs once, so compiling is what takes time."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise VelodromeError(f"the optimizer breaks its contract: {problem}.")


def _shapes(tree: PyTree) -> list[tuple[tuple[int, ...], np.dtype]]:
    return [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in jax.tree.leaves(tree)]


def _middle(spec: OptimizerSpec) -> Point:
    return spec.points[len(spec.points) // 2]
