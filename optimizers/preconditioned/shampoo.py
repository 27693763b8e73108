"""Shampoo as in the VeLO paper: a constant rate, and the step sizes of a simpler optimizer.

The paper used ``distributed_shampoo`` (Anil et al. 2020, arXiv 2002.09018) of
google-research/scalable_shampoo with six types of grafting, each with the rates of Adam's sweep;
settings: ``optimizers/shampoo.py`` of google/learned_optimization, and blocks of 128. This is that
algorithm as released in March 2022 (the package optax-shampoo 0.0.4, which no jax of today runs),
with one difference: inverse roots come from eigenvalues, not from Newton's iteration, so they fail
only where numbers are not finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from velodrome.optimizers.float32 import in_float32
from velodrome.optimizers.preconditioned.axes import along_axes, gram
from velodrome.optimizers.preconditioned.blocks import Blocks
from velodrome.optimizers.preconditioned.roots import inverse_roots
from velodrome.optimizers.spec import LEARNING_RATES, OptimizerSpec

Graft = Literal["sgd", "adagrad", "rmsprop", "rmsprop_normalized", "sqrt_n", "adagrad_normalized"]
GRAFTS: tuple[Graft, ...] = (
    "sgd", "adagrad", "rmsprop", "rmsprop_normalized", "sqrt_n", "adagrad_normalized",
)  # fmt: skip
Matrices = tuple[tuple[Float[Array, "_ _"], ...], ...]

_LARGEST = 4096
"""Arrays with a longer axis are not preconditioned."""
_RIDGE = 1e-6
_TINY = 1e-16


class Leaf(NamedTuple):
    """State of one array of parameters.

    Attributes:
      squares: Sum or moving average of squared gradients, for grafting; zeros where it needs none.
      momentum: Of Shampoo's steps.
      grafted: Of the grafted optimizer's steps, which are taken at first; zeros with signs.
      grams: Moving average of Gram matrices, by block and axis.
      roots: Their inverse roots.
    """

    squares: Float[Array, ...]
    momentum: Float[Array, ...]
    grafted: Float[Array, ...]
    grams: Matrices
    roots: Matrices


class ShampooState(NamedTuple):
    """Updates made, and the state of each array."""

    made: Int[Array, ""]
    leaves: tuple[Leaf, ...] | PyTree


def scale_by_shampoo(
    graft: Graft,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    block_size: int = 128,
    start: int = 5,
) -> optax.GradientTransformation:
    """Return Shampoo without a rate.

    Args:
      graft: Whose step sizes it takes, array by array: those of gradient descent, AdaGrad or
        RMSProp, of either on gradients of norm 1, or of signs (``sqrt_n``).
      b1: Decay of the momentum, which is Nesterov's and no average.
      b2: Decay of Gram matrices, and of RMSProp's squares.
      start: Updates that the grafted optimizer makes alone.
    """

    def init(params: optax.Params) -> ShampooState:
        def leaf(value: Array) -> Leaf:
            zeros = jnp.zeros_like(value)
            sides = [part.shape for part in _split(value, block_size)]
            eyes = tuple(tuple(jnp.eye(n, dtype=value.dtype) for n in shape) for shape in sides)
            grams = jax.tree.map(lambda eye: _RIDGE * eye, eyes)
            return Leaf(zeros, zeros, zeros, grams, eyes)

        # With a tree that has no leaves, `optax.tree_map_params` looks for the place of what
        # belongs to parameters.
        leaves = tuple(map(leaf, jax.tree.leaves(params))) or params
        return ShampooState(jnp.zeros((), jnp.int32), leaves)

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        del params
        assert isinstance(state, ShampooState)  # what init returned
        grads, structure = jax.tree.flatten(updates)
        if not grads:
            return updates, state
        parts = [_split(grad, block_size) for grad in grads]
        grams = [
            tuple(
                tuple(b2 * old + (1 - b2) * gram(part, axis) for axis, old in enumerate(known))
                for part, known in zip(blocks, leaf.grams, strict=True)
            )
            for blocks, leaf in zip(parts, state.leaves, strict=True)
        ]
        roots = _roots(grams, [leaf.roots for leaf in state.leaves])
        step = partial(
            _step, graft=graft, alone=state.made < start, b1=b1, b2=b2, block_size=block_size
        )
        found = [
            step(grad, leaf._replace(grams=known, roots=root))
            for grad, leaf, known, root in zip(grads, state.leaves, grams, roots, strict=True)
        ]
        steps = structure.unflatten([direction for direction, _ in found])
        return steps, ShampooState(state.made + 1, tuple(leaf for _, leaf in found))

    return optax.GradientTransformation(init, update)


def _split(array: Float[Array, ...], size: int) -> list[Float[Array, ...]]:
    """Return the blocks to precondition: none of numbers, nothing, and arrays with a long axis."""
    if array.ndim == 0 or array.size == 0 or max(array.shape) > _LARGEST:
        return []
    return Blocks.of(array.shape, size).split(array)


def _roots(grams: Sequence[Matrices], kept: Sequence[Matrices]) -> list[Matrices]:
    """Return the inverse roots of all Gram matrices, of twice as many as a block has axes."""
    known, structure = jax.tree.flatten(list(grams))
    orders = [2 * len(block) for leaf in grams for block in leaf for _ in block]
    largest = max(map(len, known), default=0)
    # The original fills smaller matrices up with ones on the diagonal before it looks for their
    # largest eigenvalue.
    damps = [_damp if len(matrix) == largest else _damp_filled_up for matrix in known]
    return structure.unflatten(inverse_roots(known, jax.tree.leaves(list(kept)), orders, damps))


def _damp(values: Float[Array, " n"], least: float = 1e-6) -> Float[Array, " n"]:
    return jnp.maximum(values, 0.0) + _RIDGE * jnp.maximum(values[-1], least)


def _damp_filled_up(values: Float[Array, " n"]) -> Float[Array, " n"]:
    return _damp(values, 1.0)


def _step(
    grad: Float[Array, ...],
    leaf: Leaf,
    *,
    graft: Graft,
    alone: Array,
    b1: float,
    b2: float,
    block_size: int,
) -> tuple[Float[Array, ...], Leaf]:
    """Return the direction to go against the gradient, and the new state."""
    simple, squares = _grafted(graft, grad, leaf.squares, b2)
    ours = simple
    if leaf.roots:
        blocks = zip(_split(grad, block_size), leaf.roots, strict=True)
        turned = [along_axes(block, roots) for block, roots in blocks]
        ours = Blocks.of(grad.shape, block_size).join(turned)
    ours = ours * (_norm(simple) / (_norm(ours) + _TINY))
    # Signs have no momentum of their own: they are a part of Shampoo's.
    before = leaf.momentum if graft == "sqrt_n" else leaf.grafted
    grafted, momentum = b1 * before + simple, b1 * leaf.momentum + ours
    taken, now = jnp.where(alone, grafted, momentum), jnp.where(alone, simple, ours)
    if graft == "sqrt_n":
        momentum, grafted = taken, leaf.grafted
    return now + b1 * taken, Leaf(squares, momentum, grafted, leaf.grams, leaf.roots)


def _grafted(
    graft: Graft, grad: Float[Array, ...], squares: Float[Array, ...], b2: float
) -> tuple[Float[Array, ...], Float[Array, ...]]:
    """Return the step of the grafted optimizer, and its new sum of squares."""
    if graft == "sgd":
        return grad, squares
    if graft == "sqrt_n":
        return jnp.sign(grad), squares
    if graft.endswith("_normalized"):
        grad = grad / (_norm(grad) + _TINY)
    if graft.startswith("adagrad"):
        squares = squares + grad**2
    else:
        squares = b2 * squares + (1 - b2) * grad**2
    return grad / (jnp.sqrt(squares) + 1e-10), squares


def _norm(array: Float[Array, ...]) -> Float[Array, ""]:
    return jnp.sqrt(jnp.sum(array**2))


def _shampoo(learning_rate: float | Array, *, graft: Graft) -> optax.GradientTransformation:
    made = optax.chain(scale_by_shampoo(graft), optax.scale_by_learning_rate(learning_rate))
    return in_float32(made)


def _spec(graft: Graft) -> OptimizerSpec:
    return OptimizerSpec(
        name=f"shampoo_{graft}",
        label=f"Shampoo ({graft.replace('_', ' ')})",
        factory=partial(_shampoo, graft=graft),
        grid={"learning_rate": LEARNING_RATES},
        traced=frozenset({"learning_rate"}),
    )


shampoo_sgd = _spec("sgd")
shampoo_adagrad = _spec("adagrad")
shampoo_rmsprop = _spec("rmsprop")
shampoo_rmsprop_normalized = _spec("rmsprop_normalized")
shampoo_sqrt_n = _spec("sqrt_n")
shampoo_adagrad_normalized = _spec("adagrad_normalized")
