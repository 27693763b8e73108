"""Optimizers that treat each tensor by itself, as optax transformations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from velodrome.foundation.errors import SpecError
from velodrome.optimizers.learned.stacks import Stack, make_stacks
from velodrome.optimizers.velo.barrier import same_in_all_lanes
from velodrome.optimizers.velo.door import STATE

State = TypeVar("State")


class Rule(NamedTuple):
    """An update of one tensor.

    Attributes:
      init: Return the state for a shape.
      accumulate: Put a gradient into a state.
      step: Return what to add to the parameters: of the new state, the gradient, the parameters,
        and the number of updates before this one.
    """

    init: Callable[[tuple[int, ...]], Any]
    accumulate: Callable[[Any, Array], Any]
    step: Callable[[Any, Array, Array, Int[Array, ""]], Float[Array, " ..."]]


class RuleState(NamedTuple):
    """State of `by_tensor`: for each stack of tensors, the states of its members."""

    iteration: Int[Array, ""]
    stacks: tuple[Any, ...] | PyTree


def by_tensor(rule: Rule) -> optax.GradientTransformationExtraArgs:
    """Return the transformation that updates each tensor by a rule, in float32."""

    def init(params: PyTree) -> RuleState:
        leaves = jax.tree.leaves(params)
        states = tuple(
            initial_states(stack, rule.init) for stack in make_stacks([p.shape for p in leaves])
        )
        # With a tree that has no leaves, `optax.tree_map_params` looks for the place of what
        # belongs to parameters.
        return RuleState(jnp.zeros((), jnp.int32), states if leaves else params)

    def update(
        updates: PyTree, state: Any, params: PyTree = None, **unused: object
    ) -> tuple[PyTree, RuleState]:
        del unused
        parameters, structure = jax.tree.flatten(params)
        gradients = structure.flatten_up_to(updates)
        stacks = make_stacks([leaf.shape for leaf in parameters])
        if not stacks:
            return jax.tree.map(jnp.zeros_like, params), state
        check_states(state, RuleState, stacks, rule.init)
        changes = [jnp.zeros_like(leaf) for leaf in parameters]  # of those without elements
        always = same_in_all_lanes(state.iteration >= 0)
        new = []
        for stack, old in zip(stacks, state.stacks, strict=True):
            accumulated = jax.vmap(rule.accumulate)(old, stack.pick(gradients))
            new.append(accumulated)

            def steps(stack: Stack = stack, accumulated: Any = accumulated) -> tuple[Array, None]:
                step = jax.vmap(rule.step, in_axes=(0, 0, 0, None))
                made = step(
                    accumulated, stack.pick(gradients), stack.pick(parameters), state.iteration
                )
                return made, None

            parts, _ = stack.apart(always, steps)
            for position, change in zip(stack.members, parts, strict=True):
                changes[position] = change.astype(parameters[position].dtype)
        return structure.unflatten(changes), RuleState(state.iteration + 1, tuple(new))

    return optax.GradientTransformationExtraArgs(init, update)


def initial_states(stack: Stack, init: Callable[[tuple[int, ...]], State]) -> State:
    """Return the initial states of the members of a stack, along a first axis."""
    return jax.tree.map(
        lambda x: jnp.broadcast_to(x[None], (len(stack.members), *x.shape)), init(stack.shape)
    )


def check_states(
    state: Any,
    kind: type,
    stacks: tuple[Stack, ...],
    init: Callable[[tuple[int, ...]], Any],
) -> None:
    """Refuse the state of another optimizer, or for other parameters.

    Raises:
      SpecError: With what to do.
    """
    if not isinstance(state, kind):
        raise SpecError("state", type(state).__name__, STATE)
    found = [jnp.shape(leaf) for leaf in jax.tree.leaves(state.stacks)]
    wanted = [
        (len(stack.members), *leaf.shape)
        for stack in stacks
        for leaf in jax.tree.leaves(jax.eval_shape(lambda stack=stack: init(stack.shape)))
    ]
    if found != wanted:
        raise SpecError("state", f"accumulators of shapes {found}", STATE)
