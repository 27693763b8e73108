"""What a user may pass to VeLO: as much as to optax's own optimizers, checked, with advice.

Everything behind it sees arrays of real floating point, one gradient of the same shape for each,
and meshes whose axes the compiler shards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, use_abstract_mesh
from jax.typing import ArrayLike
from jaxtyping import PyTree

from velodrome.foundation.errors import SpecError

_CALL = "update(grads, state, params, value=loss)"

#: What a state must be that has a wrong type or shape.
STATE = (
    "what `init` of this optimizer returned: for these parameters, these weights and this number "
    "of steps (with optax.inject_hyperparams and more than max_training_steps steps, name "
    "num_steps and max_training_steps as static_args)"
)


def checked(
    inner: optax.GradientTransformationExtraArgs, title: str = "VeLO", *, reads_loss: bool = True
) -> optax.GradientTransformationExtraArgs:
    """Return ``inner`` for arguments as users have them; messages call it ``title``.

    Parameters may be Python floats. A parameter whose gradient is None takes part with a gradient
    of zero, and its update is zero: it stays where it is.
    """

    def init(params: PyTree) -> PyTree:
        return inner.init(jax.tree.map(_array, params))

    def update(
        updates: PyTree,
        state: PyTree,
        params: PyTree = None,
        *,
        value: ArrayLike | None = None,
        **extra: object,
    ) -> tuple[PyTree, PyTree]:
        if params is None:
            raise SpecError("params", None, f"the parameters, which {title} reads: {_CALL}")
        if value is None and reads_loss:
            allowed = f"the training loss of this step, which {title} reads: {_CALL}"
            raise SpecError("value", None, allowed)
        if value is not None and jnp.shape(value) != ():
            raise SpecError("value", value, f"a scalar, the training loss of this step: {_CALL}")
        named, structure = jax.tree.flatten_with_path(jax.tree.map(_array, params))
        try:
            given = structure.flatten_up_to(updates)
        except ValueError as error:
            raise SpecError(
                "updates", str(jax.tree.structure(updates)), f"gradients as {structure}"
            ) from error
        gradients = [
            _gradient(path, gradient, parameter)
            for gradient, (path, parameter) in zip(given, named, strict=True)
        ]
        params = structure.unflatten([parameter for _, parameter in named])

        def run(gradients: PyTree, state: PyTree, params: PyTree, value: ArrayLike | None):
            return inner.update(gradients, state, params, value=value, **extra)

        changes, state = _sharded_by_the_compiler(run, params)(
            structure.unflatten(gradients), state, params, value
        )
        if any(gradient is None for gradient in given):
            made = structure.flatten_up_to(changes)
            kept = [
                jnp.zeros_like(change) if gradient is None else change
                for gradient, change in zip(given, made, strict=True)
            ]
            changes = structure.unflatten(kept)
        return changes, state

    return optax.GradientTransformationExtraArgs(init, update)


def _array(leaf: ArrayLike) -> jax.Array:
    if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
        raise SpecError("params", jnp.result_type(leaf).name, "arrays of real floating point")
    return jnp.asarray(leaf)


def _gradient(path: jax.tree_util.KeyPath, gradient: object, parameter: jax.Array) -> jax.Array:
    if gradient is None:
        return jnp.zeros_like(parameter)
    field = f"gradient of params{jax.tree_util.keystr(path)}"
    try:
        array = jnp.asarray(gradient)
    except TypeError as error:
        raise SpecError(field, type(gradient).__name__, "an array, or None") from error
    if array.shape != parameter.shape:
        raise SpecError(field, array.shape, f"of the parameter's shape {parameter.shape}")
    return array


def _sharded_by_the_compiler(
    update: Callable[..., tuple[PyTree, PyTree]], params: PyTree
) -> Callable[..., tuple[PyTree, PyTree]]:
    """Return ``update`` as it is for the compiler, which shards what is in between as it likes.

    Where axes of a mesh are explicit, stacks of differently sharded tensors would have no
    sharding. Updates are sharded as the parameters, and the state as it was.
    """
    mesh = _explicit_mesh(jax.tree.leaves(params))
    if mesh is None:
        return update

    def specs(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda leaf: jax.typeof(leaf).sharding.spec, tree)

    def automatic(
        gradients: PyTree, state: PyTree, params: PyTree, value: ArrayLike | None
    ) -> tuple[PyTree, PyTree]:
        shard = jax.sharding.auto_axes(out_sharding=(specs(params), specs(state)))
        with jax.set_mesh(mesh) if isinstance(mesh, Mesh) else use_abstract_mesh(mesh):
            return shard(update)(gradients, state, params, value)

    return automatic


def _explicit_mesh(params: Sequence[jax.Array]) -> Mesh | AbstractMesh | None:
    """Return the mesh on which the types of the parameters say how they are sharded."""
    for leaf in params:
        abstract = jax.typeof(leaf).sharding.mesh
        if AxisType.Explicit in abstract.axis_types:
            if isinstance(leaf, Tracer) or not isinstance(leaf.sharding, NamedSharding):
                return abstract
            return leaf.sharding.mesh
    return None
