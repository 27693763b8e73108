"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, arXiv 2409.11321).

Written from Algorithm 3 of the paper and its authors' code, github.com/nikhilvyas/SOAP, with the
settings that its page recommends. No maintained package has it for jax.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from velodrome.optimizers.float32 import in_float32
from velodrome.optimizers.preconditioned.axes import along_axes, gram, matmul
from velodrome.optimizers.preconditioned.conditional import run_if
from velodrome.optimizers.preconditioned.lapack import eigh, orthogonal
from velodrome.optimizers.spec import LEARNING_RATES, OptimizerSpec

Matrices = tuple[Float[Array, "_ _"] | None, ...]


class Leaf(NamedTuple):
    """State of one array of parameters.

    Attributes:
      first: Moving average of gradients, in the eigenbasis.
      second: Moving average of their squares, in the eigenbasis.
      grams: Moving averages of Gram matrices along each axis; None where an axis is not rotated.
      bases: Eigenvectors of these, as columns, by falling eigenvalue.
    """

    first: Float[Array, ...]
    second: Float[Array, ...]
    grams: Matrices
    bases: Matrices


class SoapState(NamedTuple):
    """Gradients seen, and the state of each array."""

    seen: Int[Array, ""]
    leaves: tuple[Leaf, ...] | PyTree


def scale_by_soap(
    *,
    b1: float = 0.95,
    b2: float = 0.95,
    eps: float = 1e-8,
    frequency: int = 10,
    max_size: int = 10_000,
) -> optax.GradientTransformation:
    """Return SOAP without a rate: Adam's direction in a slowly turning basis.

    The first update is zero, so that no gradient is seen in a basis that was made from it. Vectors
    and numbers, and axes longer than ``max_size``, are not rotated.

    Args:
      b2: Decay of the second moment, and of the Gram matrices.
      frequency: Updates between two steps of the power iteration that turns the bases.
    """

    def init(params: optax.Params) -> SoapState:
        def leaf(value: Array) -> Leaf:
            zeros = jnp.zeros_like(value)
            sizes = [size if value.ndim > 1 and size <= max_size else 0 for size in value.shape]
            squares = tuple(jnp.zeros((n, n), value.dtype) if n else None for n in sizes)
            bases = tuple(jnp.eye(n, dtype=value.dtype) if n else None for n in sizes)
            return Leaf(zeros, zeros, squares, bases)

        # With a tree that has no leaves, `optax.tree_map_params` looks for the place of what
        # belongs to parameters.
        leaves = tuple(map(leaf, jax.tree.leaves(params))) or params
        return SoapState(jnp.zeros((), jnp.int32), leaves)

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        del params
        assert isinstance(state, SoapState)  # what init returned
        grads, structure = jax.tree.flatten(updates)
        if not grads:
            return updates, state
        step = partial(_step, seen=state.seen, b1=b1, b2=b2, eps=eps, frequency=frequency)
        found = [step(grad, leaf) for grad, leaf in zip(grads, state.leaves, strict=True)]
        steps = structure.unflatten([direction for direction, _ in found])
        return steps, SoapState(state.seen + 1, tuple(leaf for _, leaf in found))

    return optax.GradientTransformation(init, update)


def _step(
    grad: Float[Array, ...],
    leaf: Leaf,
    *,
    seen: Int[Array, ""],
    b1: float,
    b2: float,
    eps: float,
    frequency: int,
) -> tuple[Float[Array, ...], Leaf]:
    """Return the direction, zero at first, and the new state."""
    begun, t = seen > 0, jnp.maximum(seen, 1).astype(jnp.float32)
    rotated = along_axes(grad, leaf.bases)
    first = jnp.where(begun, b1 * leaf.first + (1 - b1) * rotated, leaf.first)
    second = jnp.where(begun, b2 * leaf.second + (1 - b2) * rotated**2, leaf.second)
    scale = jnp.sqrt(1 - b2**t) / (1 - b1**t)
    back = tuple(None if basis is None else basis.T for basis in leaf.bases)
    direction = scale * along_axes(first / (jnp.sqrt(second) + eps), back)
    grams = tuple(
        None if old is None else b2 * old + (1 - b2) * gram(grad, axis)
        for axis, old in enumerate(leaf.grams)
    )
    new = Leaf(first, second, grams, leaf.bases)
    if any(basis is not None for basis in leaf.bases):
        new = run_if(~begun, _begin, new)
        new = run_if(begun & (seen % frequency == 0), _turn, new)
    return jnp.where(begun, direction, 0.0).astype(grad.dtype), new


def _begin(leaf: Leaf) -> Leaf:
    """Take the eigenvectors of the first Gram matrices as bases."""
    bases = tuple(None if square is None else eigh(square)[1][:, ::-1] for square in leaf.grams)
    return leaf._replace(bases=bases)


def _turn(leaf: Leaf) -> Leaf:
    """Make one step of the power iteration, with the axes sorted by their eigenvalues before."""
    second, bases = leaf.second, []
    for axis, (square, basis) in enumerate(zip(leaf.grams, leaf.bases, strict=True)):
        if square is None or basis is None:
            bases.append(None)
            continue
        order = jnp.argsort(-jnp.sum(basis * matmul(square, basis), axis=0))
        second = jnp.take(second, order, axis=axis)
        bases.append(orthogonal(matmul(square, basis[:, order])))
    back = tuple(None if basis is None else basis.T for basis in leaf.bases)
    first = along_axes(along_axes(leaf.first, back), bases)
    return Leaf(first, second, leaf.grams, tuple(bases))


def _soap(
    learning_rate: float | Array, weight_decay: float = 0.01, frequency: int = 10
) -> optax.GradientTransformation:
    made = optax.chain(
        scale_by_soap(frequency=frequency),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )
    return in_float32(made)


soap = OptimizerSpec(
    name="soap",
    label="SOAP",
    factory=_soap,
    grid={"learning_rate": LEARNING_RATES},
    traced=frozenset({"learning_rate"}),
)
