"""VeLO as an optax transformation.

One update: gradients go into the accumulators; statistics of each tensor's old accumulators and
the recent losses go through the LSTM; it writes a small network for each tensor; that network maps
30 numbers for each parameter to a step (Metz et al. 2022, arXiv 2211.09760).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from foundation.errors import SpecError
from optimizers.velo import matrices, vectors
from optimizers.velo.accumulators import CLIP
from optimizers.velo.controller import Controller, LSTMState, control, initial_state
from optimizers.velo.grouping import Group, MatrixGroup, make_groups
from optimizers.velo.loss_averages import (
    LossAverages,
    init_averages,
    loss_features,
    update_averages,
)
from optimizers.velo.tensor_statistics import (
    MomentStatistics,
    initial_statistics,
    lstm_inputs,
)


class VeLOState(NamedTuple):
    """State of VeLO: arrays only, so it goes through jit, vmap and scan, and can be donated.

    Tensors are in the order of their groups (`grouping.make_groups`), not of the parameters.
    """

    iteration: Int[Array, ""]
    loss: LossAverages
    lstm: LSTMState
    statistics: MomentStatistics
    groups: tuple[matrices.MatrixState | vectors.VectorState, ...]


def scale_by_velo(
    controller: Controller, num_steps: jax.typing.ArrayLike
) -> optax.GradientTransformationExtraArgs:
    """Returns VeLO itself: without weight decay, accumulation and the checks of their arguments.

    Args:
      controller: The folded weights.
      num_steps: How many updates the run will make; may be traced.
    """

    def init(params: Any) -> VeLOState:
        groups = make_groups([_check_leaf(leaf).shape for leaf in jax.tree.leaves(params)])
        tensors = _count(groups)
        return VeLOState(
            iteration=jnp.zeros((), jnp.int32),
            loss=init_averages(num_steps),
            lstm=initial_state(controller, tensors),
            statistics=initial_statistics(tensors),
            groups=tuple(_module(group).init_state(group) for group in groups),
        )

    def update(
        updates: Any, state: Any, params: Any = None, *, value: Any = None, **unused: Any
    ) -> tuple[Any, VeLOState]:
        del unused
        check_arguments(params, value)
        leaves, structure = jax.tree.flatten(params)
        gradient_leaves = structure.flatten_up_to(updates)
        groups = make_groups([leaf.shape for leaf in leaves])
        if not groups:
            return updates, state
        gradients = [jnp.clip(group.stack(gradient_leaves), -CLIP, CLIP) for group in groups]
        parameters = [group.stack(leaves) for group in groups]

        rows = _rows(groups)
        accumulated, measured = [], []
        for i, group in enumerate(groups):
            module = _module(group)
            new = module.accumulate(state.groups[i], gradients[i])
            before = _take(state.statistics, rows[i])
            accumulated.append(new)
            measured.append(module.measure(group, new, gradients[i], parameters[i], before))

        iteration = state.iteration + 1
        loss = update_averages(state.loss, jnp.asarray(value, jnp.float32), state.iteration)
        inputs = lstm_inputs(
            state.statistics,
            mean_square=jnp.concatenate([m.mean_square for m in measured]),
            ranks=jnp.asarray([rank for group in groups for rank in group.ranks], jnp.int32),
            fraction_trained=state.iteration.astype(jnp.float32)
            / jnp.asarray(num_steps, jnp.float32),
            loss=loss_features(loss, iteration),
        )
        networks, lstm = control(controller, inputs, state.lstm)

        changes = list(gradient_leaves)
        for i, group in enumerate(groups):
            stacked = _module(group).steps(
                group,
                accumulated[i],
                gradients[i],
                parameters[i],
                measured[i],
                _take(networks, rows[i]),
            )
            for position, change in zip(group.members, group.unstack(stacked), strict=True):
                changes[position] = change.astype(leaves[position].dtype)
        statistics = jax.tree.map(
            lambda *parts: jnp.concatenate(parts), *[m.statistics for m in measured]
        )
        return structure.unflatten(changes), VeLOState(
            iteration=iteration,
            loss=loss,
            lstm=lstm,
            statistics=statistics,
            groups=tuple(accumulated),
        )

    return optax.GradientTransformationExtraArgs(init, update)


def check_arguments(params: Any, value: Any) -> None:
    """Refuses an update without parameters or without a scalar loss.

    Raises:
      SpecError: With the call as it should be.
    """
    call = "update(grads, state, params, value=loss)"
    if params is None:
        raise SpecError("params", None, f"the parameters, which VeLO reads: {call}")
    if value is None:
        raise SpecError("value", None, f"the training loss of this step, which VeLO reads: {call}")
    if jnp.shape(value) != ():
        raise SpecError("value", value, f"a scalar, the training loss of this step: {call}")


def _check_leaf(leaf: Any) -> Any:
    if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
        raise SpecError("params", jnp.result_type(leaf).name, "arrays of real floating point")
    return leaf


def _module(group: Group) -> Any:
    """Returns the module that knows how to update the group."""
    return matrices if isinstance(group, MatrixGroup) else vectors


def _count(groups: Sequence[Group]) -> int:
    return sum(len(group.members) for group in groups)


def _rows(groups: Sequence[Group]) -> list[slice]:
    """Returns for each group where its tensors are among all of them."""
    ends = [_count(groups[: i + 1]) for i in range(len(groups))]
    return [slice(end - len(g.members), end) for g, end in zip(groups, ends, strict=True)]


def _take(tree: Any, rows: slice) -> Any:
    return jax.tree.map(lambda leaf: leaf[rows], tree)
