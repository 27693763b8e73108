"""PSGD-Kron: preconditioned SGD whose preconditioner is fitted, one factor for each axis.

The method is that of Li (arXiv 1512.04202 and 1809.10232; github.com/lixilinx/psgd_torch), with the
settings of its versions for jax (psgd-jax, distributed-kron). Neither of these imports with the jax
and optax of today, so it is written again here, from the method: with P = Q'Q for each axis, Q goes
down the gradient of E[g'Pg + v'inv(P)v], for a random v, on the group of triangular matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from velodrome.optimizers.float32 import in_float32
from velodrome.optimizers.preconditioned.axes import gram, matmul
from velodrome.optimizers.preconditioned.conditional import run_if
from velodrome.optimizers.preconditioned.lapack import divided
from velodrome.optimizers.spec import LEARNING_RATES, OptimizerSpec

#: Q along each axis: an upper triangular matrix, or the diagonal of one.
Factors = tuple[Float[Array, "..."], ...]

_LARGEST_TRIANGLE = 8192
_SEED = 0
_TINY = float(jnp.finfo(jnp.float32).tiny)
_NOISE = float(jnp.finfo(jnp.float32).eps) ** 0.5
"""Share of noise in what Q is fitted to, so that no direction is without a gradient."""


class KronState(NamedTuple):
    """What PSGD-Kron remembers.

    Attributes:
      made: Updates made.
      since: Updates since the last fit.
      momentum: Moving averages of gradients.
      factors: Of each array.
    """

    made: Int[Array, ""]
    since: Int[Array, ""]
    momentum: optax.Updates
    factors: tuple[Factors, ...] | PyTree


def scale_by_kron(
    *,
    b1: float = 0.9,
    rate: float = 0.1,
    probability: Callable[[Float[Array, ""]], Float[Array, ""]] | None = None,
    limit: float = 1.1,
) -> optax.GradientTransformation:
    """Return PSGD-Kron without a rate.

    Vectors, and axes of length 1 or above 8192, have a diagonal factor.

    Args:
      rate: Of the fit, relative to the norm of its gradient.
      probability: Of a fit at an update, by its number from 1; one is made after as many updates as
        its inverse. By default `fit_probability`.
      limit: Largest root of the mean square of an array's direction.
    """
    share = probability or fit_probability

    def init(params: optax.Params) -> KronState:
        leaves = jax.tree.leaves(params)
        zero = jnp.zeros((), jnp.int32)
        momentum = jax.tree.map(jnp.zeros_like, params)
        # With a tree that has no leaves, `optax.tree_map_params` looks for the place of what
        # belongs to parameters.
        return KronState(zero, zero, momentum, tuple(map(_first_factors, leaves)) or params)

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        del params
        assert isinstance(state, KronState)  # what init returned
        if not jax.tree.leaves(updates):
            return updates, state
        made = state.made + 1
        t = made.astype(jnp.float32)
        momentum = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.momentum, updates)
        leaves, structure = jax.tree.flatten(momentum)
        means = tuple(jnp.atleast_1d(leaf) / (1 - b1**t) for leaf in leaves)
        due = (state.since + 1) >= 1 / share(t)
        since = jnp.where(due, 0, state.since + 1)
        factors = run_if(due, partial(_fitted, rate=rate), state.factors, means, state.made)
        steps = [_along(mean, q, _precondition) for mean, q in zip(means, factors, strict=True)]
        steps = [
            (step / jnp.maximum(1.0, jnp.sqrt(jnp.mean(step**2)) / limit)).reshape(leaf.shape)
            for step, leaf in zip(steps, leaves, strict=True)
        ]
        return structure.unflatten(steps), KronState(made, since, momentum, factors)

    return optax.GradientTransformation(init, update)


def fit_probability(update: Float[Array, ""]) -> Float[Array, ""]:
    """Return 1 for 500 updates, which then falls exponentially to 0.03 by update 4,000."""
    return jnp.clip(jnp.exp(-0.001 * (update - 500.0)), 0.03, 1.0)


def _first_factors(leaf: Array) -> Factors:
    if leaf.size == 0:
        return ()
    shape = leaf.shape or (1,)
    triangular = [len(shape) > 1 and 1 < n <= _LARGEST_TRIANGLE for n in shape]
    return tuple(
        jnp.eye(n, dtype=leaf.dtype) if whole else jnp.ones(n, leaf.dtype)
        for n, whole in zip(shape, triangular, strict=True)
    )


def _fitted(
    factors: tuple[Factors, ...],
    means: tuple[Float[Array, ...], ...],
    made: Int[Array, ""],
    *,
    rate: float,
) -> tuple[Factors, ...]:
    """Make one step of the fit for each array; one in a hundred begins with balanced factors."""
    balance, *keys = jax.random.split(
        jax.random.fold_in(jax.random.key(_SEED), made), len(means) + 1
    )
    due = jax.random.uniform(balance) < 0.01
    found = []
    for mean, known, key in zip(means, factors, keys, strict=True):
        if not known:  # an array without elements
            found.append(known)
            continue
        even = [jnp.where(due, new, old) for new, old in zip(_balanced(known), known, strict=True)]
        noise = jax.random.normal(key, mean.shape, mean.dtype)
        found.append(_fit(even, mean + _NOISE * jnp.mean(jnp.abs(mean)) * noise, noise, rate))
    return tuple(found)


def _balanced(factors: Factors) -> Factors:
    """Return factors of the same product, which have the same largest number."""
    sizes = jnp.stack([jnp.max(jnp.abs(factor)) for factor in factors])
    mean = jnp.exp(jnp.mean(jnp.log(sizes)))
    return tuple(factor * (mean / size) for factor, size in zip(factors, sizes, strict=True))


def _fit(
    factors: Sequence[Array], grad: Float[Array, ...], noise: Float[Array, ...], rate: float
) -> Factors:
    white, back = _along(grad, factors, _multiply), _along(noise, factors, _divide)
    found = []
    for axis, factor in enumerate(factors):
        if factor.ndim == 1:
            others = tuple(place for place in range(grad.ndim) if place != axis)
            one, two = jnp.sum(white**2, others), jnp.sum(back**2, others)
            change = (one - two) / (jnp.max(one + two) + _TINY) * factor
        else:
            one, two = gram(white, axis), gram(back, axis)
            change = matmul(jnp.triu(one - two) / (_norm(one + two) + _TINY), factor)
        found.append(factor - rate * change)
    return tuple(found)


def _norm(matrix: Float[Array, "n n"]) -> Float[Array, ""]:
    """Return a lower bound, tight in practice, of the largest eigenvalue: two power iterations."""
    size = jnp.max(jnp.abs(matrix))
    scaled = matrix / jnp.where(size > 0, size, 1.0)
    column = scaled[jnp.argmax(jnp.sum(scaled**2, axis=1))]
    column = matmul(scaled, column)
    column = column / (jnp.linalg.norm(column) + _TINY)
    return size * jnp.linalg.norm(matmul(scaled, column))


def _along(
    array: Float[Array, ...],
    factors: Sequence[Array],
    change: Callable[[Float[Array, "rows n"], Array], Float[Array, "rows n"]],
) -> Float[Array, ...]:
    """Change each axis by its factor, as the rows of a matrix."""
    for factor in factors:
        # Each turn moves the first axis to the end: after all of them the order is the old one.
        array = jnp.moveaxis(array, 0, -1)
        array = change(array.reshape(-1, len(factor)), factor).reshape(array.shape)
    return array


def _multiply(rows: Float[Array, "rows n"], factor: Array) -> Float[Array, "rows n"]:
    return rows * factor[None] if factor.ndim == 1 else matmul(rows, factor.T)


def _divide(rows: Float[Array, "rows n"], factor: Array) -> Float[Array, "rows n"]:
    """Multiply by the transposed inverse."""
    return rows / factor[None] if factor.ndim == 1 else divided(rows, factor)


def _precondition(rows: Float[Array, "rows n"], factor: Array) -> Float[Array, "rows n"]:
    whitened = _multiply(rows, factor)
    return whitened * factor[None] if factor.ndim == 1 else matmul(whitened, factor)


def _kron(learning_rate: float | Array, weight_decay: float = 0.0) -> optax.GradientTransformation:
    made = optax.chain(
        scale_by_kron(),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )
    return in_float32(made)


psgd_kron = OptimizerSpec(
    name="psgd_kron",
    label="PSGD-Kron",
    factory=_kron,
    grid={"learning_rate": LEARNING_RATES},
    traced=frozenset({"learning_rate"}),
)
