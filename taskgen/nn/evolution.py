"""Gradients estimated from losses alone, by evolution strategies."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from velodrome.taskgen.functions import Batch, Dynamic, Scalar

PlainLoss = Callable[[PyTree, PyTree, jax.Array, Batch, Dynamic | None], tuple[jax.Array, PyTree]]
"""``loss(params, state, key, batch, dynamic) -> (f32[], state)``."""

Gradient = Callable[..., tuple[jax.Array, PyTree, PyTree]]
"""``gradient(params, *args) -> (f32[], auxiliary, gradient like params)``."""

# Makes the random numbers of perturbations differ from those of the loss.
_NOISE = 0x6E6F6973

# On a CPU, pairs of at least this many numbers are tried one after the other. For the published MLP
# 784-128-128-128-10 with 8 pairs that takes half the time (11 ms instead of 22), as a pair then
# stays in the cache; from 8,000 to 118,000 numbers it takes 0.4 to 0.7 of the time.
_LARGE = 4_096


def with_gradient(
    loss: Callable[..., tuple[jax.Array, PyTree]], gradient: Gradient
) -> Callable[..., tuple[jax.Array, PyTree]]:
    """Give a loss another gradient, for whatever differentiates it in reverse mode.

    Args:
      loss: ``loss(params, *args) -> (f32[], auxiliary)``.
      gradient: Returns what ``loss`` returns, and the gradient. It is called only where a gradient
        is asked for.

    Returns:
      A function like ``loss``. With respect to anything but ``params`` its gradient is zero.
    """

    @jax.custom_vjp
    def replaced(params, *args):
        return loss(params, *args)

    def forward(params, *args):
        value, auxiliary, slope = gradient(params, *args)
        return (value, auxiliary), (slope, (None,) * len(args))

    def backward(kept, cotangents):
        slope, others = kept
        return jax.tree.map(lambda leaf: cotangents[0] * leaf, slope), *others

    replaced.defvjp(forward, backward)
    return replaced


def evolution_gradient(
    loss: PlainLoss, *, pairs: int, std: Callable[[Dynamic | None], Scalar]
) -> Gradient:
    """Return the antithetic estimate of a loss's gradient, for :func:`with_gradient`.

    The estimate is the mean over pairs of ``eps * (L(w + s eps) - L(w - s eps)) / 2s`` with
    ``eps ~ N(0, I)`` (Salimans et al. 2017, arXiv 1703.03864); all losses share one batch and one
    key. It is the unbiased gradient of the loss smoothed by a Gaussian of standard deviation s.

    Args:
      loss: The value and the state that are returned are those without perturbation.
      pairs: Antithetic pairs, at least 1.
      std: Standard deviation s, as a function of ``dynamic``.
    """

    def gradient(params, state, key, batch, dynamic):
        sigma = std(dynamic)
        value, new_state = loss(params, state, key, batch, dynamic)
        keys = jax.random.split(jax.random.fold_in(key, _NOISE), pairs)

        def term(key: jax.Array) -> PyTree:
            direction = jax.tree.map(lambda leaf: leaf[0], unit_noise(key, params, 1))

            def at(sign: float) -> jax.Array:
                return loss(moved(params, direction, sign * sigma), state, key, batch, dynamic)[0]

            weight = (at(1.0) - at(-1.0)) / (2.0 * sigma * pairs)
            return jax.tree.map(lambda step: weight * step, direction)

        if _one_by_one(params):

            def add(total: PyTree, key: jax.Array) -> tuple[PyTree, None]:
                return jax.tree.map(jnp.add, total, term(key)), None

            slope = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, params), keys)[0]
        else:
            slope = jax.tree.map(lambda leaf: leaf.sum(0), jax.vmap(term)(keys))
        return value, new_state, slope

    return gradient


def _one_by_one(params: PyTree) -> bool:
    size = sum(int(np.prod(jnp.shape(leaf), dtype=int)) for leaf in jax.tree.leaves(params))
    return jax.default_backend() == "cpu" and size >= _LARGE


def moved(params: PyTree, direction: PyTree, size: Scalar) -> PyTree:
    return jax.tree.map(lambda leaf, step: leaf + size * step, params, direction)


def unit_noise(key: jax.Array, tree: PyTree, count: int) -> PyTree:
    """Return standard normal numbers: a pytree like ``tree`` with a leading axis ``count``."""
    leaves, structure = jax.tree.flatten(tree)
    sizes = [int(np.prod(jnp.shape(leaf), dtype=int)) for leaf in leaves]
    # One draw for all: a generator for each array would be most of the program to compile.
    drawn = jax.random.normal(key, (count, sum(sizes)), jnp.float32)
    parts = jnp.split(drawn, np.cumsum(sizes)[:-1], axis=1)
    shaped = [
        part.reshape(count, *jnp.shape(leaf)) for part, leaf in zip(parts, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, shaped)
