"""Shampoo with the step sizes of Adam (Shi et al. 2023, arXiv 2309.06497).

Written from the paper's algorithm, with the settings that github.com/facebookresearch/optimizers
recommends in place of Adam. Two of them are for runs of thousands of steps on small networks: the
roots are computed every 10 steps, as for Shampoo in the SOAP paper (arXiv 2409.11321), not every
100, and blocks are 128 long, as in the VeLO paper. That package needs PyTorch.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from velodrome.optimizers.float32 import in_float32
from velodrome.optimizers.preconditioned.axes import along_axes, gram
from velodrome.optimizers.preconditioned.blocks import Blocks
from velodrome.optimizers.preconditioned.conditional import run_if
from velodrome.optimizers.preconditioned.roots import inverse_roots
from velodrome.optimizers.spec import LEARNING_RATES, OptimizerSpec

Matrices = tuple[tuple[Float[Array, "_ _"], ...], ...]
_TINY = 1e-16


class Leaf(NamedTuple):
    """State of one array of parameters: Adam's moments, and Gram matrices with inverse roots."""

    first: Float[Array, ...]
    second: Float[Array, ...]
    grams: Matrices
    roots: Matrices


class GraftedState(NamedTuple):
    """Updates made, and the state of each array."""

    made: Int[Array, ""]
    leaves: tuple[Leaf, ...] | PyTree


def scale_by_grafted_shampoo(
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    epsilon: float = 1e-12,
    frequency: int = 10,
    block_size: int = 128,
) -> optax.GradientTransformation:
    """Return Shampoo without a rate: its direction of each block, with the norm of Adam's.

    Adam goes alone until the first roots are computed, after ``frequency`` updates.

    Args:
      eps: Of Adam, outside of the root.
      epsilon: Added to the eigenvalues of Gram matrices.
    """

    def damp(values: Float[Array, " n"]) -> Float[Array, " n"]:
        return values - jnp.minimum(values[0], 0.0) + epsilon

    def init(params: optax.Params) -> GraftedState:
        def leaf(value: Array) -> Leaf:
            zeros = jnp.zeros_like(value)
            sides = [part.shape for part in _split(value, block_size)]
            eyes = tuple(tuple(jnp.eye(n, dtype=value.dtype) for n in shape) for shape in sides)
            return Leaf(zeros, zeros, jax.tree.map(jnp.zeros_like, eyes), eyes)

        # With a tree that has no leaves, `optax.tree_map_params` looks for the place of what
        # belongs to parameters.
        leaves = tuple(map(leaf, jax.tree.leaves(params))) or params
        return GraftedState(jnp.zeros((), jnp.int32), leaves)

    def compute(roots: tuple[Matrices, ...], grams: tuple[Matrices, ...]) -> tuple[Matrices, ...]:
        known, structure = jax.tree.flatten(grams)
        orders = [2 * len(block) for leaf in grams for block in leaf for _ in block]
        kept = jax.tree.leaves(roots)
        return structure.unflatten(inverse_roots(known, kept, orders, [damp] * len(known)))

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        del params
        assert isinstance(state, GraftedState)  # what init returned
        grads, structure = jax.tree.flatten(updates)
        if not grads:
            return updates, state
        made = state.made + 1
        t = made.astype(jnp.float32)
        leaves = []
        for grad, leaf in zip(grads, state.leaves, strict=True):
            parts = zip(_split(grad, block_size), leaf.grams, strict=True)
            grams = tuple(
                tuple(b2 * old + (1 - b2) * gram(part, axis) for axis, old in enumerate(known))
                for part, known in parts
            )
            first, second = b1 * leaf.first + (1 - b1) * grad, b2 * leaf.second + (1 - b2) * grad**2
            leaves.append(Leaf(first, second, grams, leaf.roots))
        unbiased = jax.tree.map(
            lambda value: value / (1 - b2**t), tuple(leaf.grams for leaf in leaves)
        )
        roots = tuple(leaf.roots for leaf in leaves)
        if jax.tree.leaves(roots):
            roots = run_if(made % frequency == 0, compute, roots, unbiased)
        leaves = [leaf._replace(roots=root) for leaf, root in zip(leaves, roots, strict=True)]
        steps = [_direction(leaf, t, made >= frequency, b1, b2, eps, block_size) for leaf in leaves]
        return structure.unflatten(steps), GraftedState(made, tuple(leaves))

    return optax.GradientTransformation(init, update)


def _split(array: Float[Array, ...], size: int) -> list[Float[Array, ...]]:
    return [] if array.ndim == 0 or array.size == 0 else Blocks.of(array.shape, size).split(array)


def _direction(
    leaf: Leaf,
    t: Float[Array, ""],
    begun: Array,
    b1: float,
    b2: float,
    eps: float,
    size: int,
) -> Float[Array, ...]:
    mean = leaf.first / (1 - b1**t)
    adam = mean / (jnp.sqrt(leaf.second / (1 - b2**t)) + eps)
    if not leaf.roots:
        return adam
    found = []
    for block, simple, roots in zip(
        _split(mean, size), _split(adam, size), leaf.roots, strict=True
    ):
        turned = along_axes(block, roots)
        length = jnp.linalg.norm(simple.ravel()) / (jnp.linalg.norm(turned.ravel()) + _TINY)
        found.append(length * turned)
    return jnp.where(begun, Blocks.of(mean.shape, size).join(found), adam)


def _shampoo(
    learning_rate: float | Array, weight_decay: float = 1e-5, frequency: int = 10
) -> optax.GradientTransformation:
    made = optax.chain(
        scale_by_grafted_shampoo(frequency=frequency),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )
    return in_float32(made)


shampoo = OptimizerSpec(
    name="shampoo",
    label="Shampoo (Adam grafting)",
    factory=_shampoo,
    grid={"learning_rate": LEARNING_RATES},
    traced=frozenset({"learning_rate"}),
)
