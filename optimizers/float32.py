"""Run a transformation in float32, whatever the parameters are."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree


def in_float32(
    inner: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Return ``inner`` for float32 copies; updates have the types of the parameters.

    Without parameters they have those of the gradients.
    """
    wide = optax.with_extra_args_support(inner)

    def init(params: PyTree) -> PyTree:
        return wide.init(as_float32(params))

    def update(
        updates: PyTree, state: PyTree, params: PyTree = None, **extra: object
    ) -> tuple[PyTree, PyTree]:
        changes, state = wide.update(as_float32(updates), state, as_float32(params), **extra)
        like = updates if params is None else params
        return jax.tree.map(lambda x, p: x.astype(jnp.result_type(p)), changes, like), state

    return optax.GradientTransformationExtraArgs(init, update)


def as_float32(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)
