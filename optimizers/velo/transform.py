"""VeLO as an optax transformation, and the update that it shares with its descendants.

One update: gradients go into the accumulators; statistics of each tensor's old accumulators and
the recent losses go to a writer, in VeLO an LSTM; it writes a small network for each tensor; that
network maps 30 numbers for each parameter to a step (Metz et al. 2022, arXiv 2211.09760).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.velo import matrices, vectors
from velodrome.optimizers.velo.barrier import materialised, same_in_all_lanes, take_apart
from velodrome.optimizers.velo.controller import Controller, LSTMState, control, initial_state
from velodrome.optimizers.velo.door import STATE
from velodrome.optimizers.velo.grouping import Group, MatrixGroup, make_groups
from velodrome.optimizers.velo.loss_averages import (
    LossAverages,
    init_averages,
    loss_features,
    update_averages,
)
from velodrome.optimizers.velo.network import prepare
from velodrome.optimizers.velo.pruning import prune
from velodrome.optimizers.velo.reads import ACCUMULATORS, GRADIENT, PARAMETER, ROW, Reads
from velodrome.optimizers.velo.tensor_statistics import (
    Observation,
    Statistics,
    initial_statistics,
    lstm_inputs,
    next_means,
)

GroupState = matrices.MatrixState | vectors.VectorState


class VeLOState(NamedTuple):
    """State of VeLO: arrays only, so it goes through jit, vmap and scan, and can be donated.

    Tensors are in the order of their groups (`grouping.make_groups`), not of the parameters.
    ``groups`` is what `optax.tree_map_params` maps over. An array there may belong to several
    parameters of one shape, so it cannot be mapped together with a tree of parameters.
    """

    iteration: Int[Array, ""]
    loss: LossAverages
    lstm: LSTMState
    statistics: Statistics
    groups: tuple[GroupState, ...] | PyTree


class Writer(NamedTuple):
    """What writes the network of each tensor at each update, and keeps a state of its own.

    Attributes:
      reads: What its networks have numbers for.
      initial_state: Its state for a number of tensors.
      write: Return a network for each tensor, its step size included, and the next state.
      reads_variances: Whether it does: they are kept for it alone.
    """

    reads: Reads
    initial_state: Callable[[int], LSTMState]
    write: Callable[[Observation, LSTMState], tuple[Float[Array, "tensor flat"], LSTMState]]
    reads_variances: bool = True


def scale_by_velo(
    controller: Controller, num_steps: ArrayLike
) -> optax.GradientTransformationExtraArgs:
    """Return VeLO itself: without weight decay, accumulation and checked arguments (`door`).

    ``num_steps``, the updates of the run, may be traced. What the controller's weights do not read
    is neither computed nor kept.
    """
    return scale_by_pruned(*prune(controller), num_steps)


def scale_by_pruned(
    controller: Controller, reads: Reads, num_steps: ArrayLike
) -> optax.GradientTransformationExtraArgs:
    """Return VeLO with a controller that has been pruned to what it ``reads``.

    Its weights may be traced, as those of a search's candidates are.
    """

    def write(seen: Observation, lstm: LSTMState) -> tuple[Array, LSTMState]:
        return control(controller, lstm_inputs(seen), lstm)

    return scale_by_networks(Writer(reads, partial(initial_state, controller), write), num_steps)


def scale_by_networks(
    writer: Writer, num_steps: ArrayLike
) -> optax.GradientTransformationExtraArgs:
    """Return the update whose networks ``writer`` writes; ``num_steps`` may be traced."""
    reads = writer.reads

    def init(params: PyTree) -> VeLOState:
        leaves = jax.tree.leaves(params)
        groups = make_groups([leaf.shape for leaf in leaves])
        tensors = _count(groups)
        states = tuple(_module(group).init_state(group, reads) for group in groups)
        return VeLOState(
            iteration=jnp.zeros((), jnp.int32),
            loss=init_averages(num_steps),
            lstm=writer.initial_state(tensors),
            statistics=initial_statistics(tensors, variances=writer.reads_variances),
            # The place of what belongs to parameters: `optax.tree_map_params` looks for it with
            # a tree that has no leaves.
            groups=states if leaves else params,
        )

    def update(
        updates: PyTree,
        state: Any,
        params: PyTree = None,
        *,
        value: ArrayLike | None = None,
        **unused: object,
    ) -> tuple[PyTree, VeLOState]:
        del unused
        parameters, structure = jax.tree.flatten(params)
        gradients = structure.flatten_up_to(updates)
        changes = [jnp.zeros_like(leaf) for leaf in parameters]  # of those without elements
        groups = make_groups([leaf.shape for leaf in parameters])
        if not groups:
            return structure.unflatten(changes), state
        _check_state(state, groups, writer)
        rows = _rows(groups)

        iteration = state.iteration + 1
        always = same_in_all_lanes(iteration > 0)
        stacks = [
            (
                _stack(group, group.pick(gradients), always),
                _stack(group, group.pick(parameters), always),
            )
            for group in groups
        ]
        # Each group by itself, so that the memory of one can be used again by the next.
        observed = [
            _module(group).observe(group, reads, old, *stack, state.statistics.means[:, row])
            for group, old, stack, row in zip(groups, state.groups, stacks, rows, strict=True)
        ]
        accumulated = tuple(new for new, *_ in observed)
        # All sums in one array, so that they are put together and divided at once.
        sizes = np.asarray([size for group in groups for size in group.sizes], np.float32)
        dense = [c for c in reads.measured if c < ROW]
        columns = [(total, *(sums[c] for c in dense)) for _, total, sums, _ in observed]
        table = jnp.concatenate([x for row in zip(*columns, strict=True) for x in row])
        table = table.reshape(-1, len(sizes))
        if len(dense) < len(reads.measured):
            more = jnp.concatenate([jnp.concatenate(rows) for *_, rows in observed], axis=1)
            table = jnp.concatenate([table, more])
        gradient_mean, *found = table / sizes[None]
        measured = dict(zip(reads.measured, found, strict=True))
        mean_square = measured[PARAMETER]
        means = next_means(state.statistics.means, gradient_mean, measured[GRADIENT])
        nothing = jnp.zeros_like(mean_square)
        kept = ACCUMULATORS if writer.reads_variances else ()
        variances = [measured.get(channel, nothing) for channel in kept]
        statistics = Statistics(jnp.stack([*means, *variances]))
        # Mean squares of all channels: what was measured of the accumulators are variances.
        squared_means = dict(zip(ACCUMULATORS, (mean**2 for mean in means), strict=True))
        about_zero = jnp.stack([x + squared_means.get(c, nothing) for c, x in measured.items()])

        loss = update_averages(state.loss, jnp.asarray(value, jnp.float32))
        seen = Observation(
            statistics=state.statistics,
            mean_square=mean_square,
            ranks=tuple(rank for group in groups for rank in group.ranks),
            fraction_trained=state.iteration.astype(jnp.float32)
            / jnp.asarray(num_steps, jnp.float32),
            loss=loss_features(loss),
        )
        networks, lstm = writer.write(seen, state.lstm)
        networks = prepare(reads, networks, about_zero, mean_square)

        for group, new, stack, row in zip(groups, accumulated, stacks, rows, strict=True):
            members = group.pick(gradients), group.pick(parameters)
            steps = _steps(group, reads, always, new, stack, members, networks[row])
            for position, change in zip(group.members, steps, strict=True):
                changes[position] = change.astype(parameters[position].dtype)
        return structure.unflatten(changes), VeLOState(
            iteration=iteration,
            loss=loss,
            lstm=lstm,
            statistics=statistics,
            groups=accumulated,
        )

    return optax.GradientTransformationExtraArgs(init, update)


def _check_state(state: Any, groups: Sequence[Group], writer: Writer) -> None:
    """Refuse the state of another model, of other weights, or of another number of steps.

    Raises:
      SpecError: With what to do.
    """
    if not isinstance(state, VeLOState):
        raise SpecError("state", type(state).__name__, STATE)
    starts = jax.eval_shape(
        lambda: (
            tuple(_module(group).init_state(group, writer.reads) for group in groups),
            writer.initial_state(_count(groups)),
        )
    )
    wanted, found = (
        [jnp.shape(leaf) for leaf in jax.tree.leaves(part)]
        for part in (starts, (state.groups, state.lstm))
    )
    if found != wanted:
        raise SpecError("state", f"accumulators and LSTM of shapes {found}", STATE)


def _module(group: Group) -> Any:
    return matrices if isinstance(group, MatrixGroup) else vectors


def _count(groups: Sequence[Group]) -> int:
    return sum(len(group.members) for group in groups)


def _rows(groups: Sequence[Group]) -> list[slice]:
    """Return for each group where its tensors are among all of them."""
    ends = [_count(groups[: i + 1]) for i in range(len(groups))]
    return [slice(end - len(g.members), end) for g, end in zip(groups, ends, strict=True)]


def _stack(group: Group, members: Sequence[Array], always: Array) -> Array:
    """Return the members of a group, stacked."""
    if not group.turned:
        return group.stack(members)
    # Without a barrier the loops over the stack would have the order of the parameters.
    return _materialised_stack(group, members, always)


def _materialised_stack(group: Group, members: Sequence[Array], always: Array) -> Array:
    zeros = jnp.zeros(group.stacked, jnp.float32)
    return materialised(always, partial(group.stack, members), zeros=zeros)


def _steps(
    group: Group,
    reads: Reads,
    always: Array,
    new: GroupState,
    stacks: tuple[Array, Array],
    members: tuple[list[Array], list[Array]],
    networks: Array,
) -> list[Array]:
    """Return what to add to the parameters of each member of a group.

    ``new`` are the accumulators with this update's gradients; ``networks`` come from `prepare`;
    ``always`` is true, see `materialised`. ``stacks`` and ``members`` are gradients and parameters,
    stacked and not.
    """
    alone = len(group.members) == 1

    def steps() -> Array:
        taken = stacks
        if not (alone or group.small):
            # Stacked once more, inside the branch: so these stacks take memory only while it runs.
            gradients, parameters = members
            taken = (
                _materialised_stack(group, gradients, always),
                _materialised_stack(group, parameters, always),
            )
        return _module(group).steps(group, reads, new, *taken, networks)

    if group.small or (alone and not group.turned):
        return group.shape_back(list(steps()))
    made = materialised(always, steps, zeros=jnp.zeros(group.stacked, jnp.float32))
    return group.shape_back(list(made) if alone else take_apart(always, made))
