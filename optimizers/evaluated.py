"""The parameters at which an optimizer is evaluated, as its state shows, whatever wraps it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, PyTree
from optax.contrib import SAMState, ScheduleFreeState

from velodrome.foundation.errors import SpecError

_Known = ScheduleFreeState | SAMState | optax.LookaheadState


def evaluates_elsewhere(opt_state: PyTree) -> bool:
    """Return whether `evaluated_params` are others than those that the optimizer steps from.

    Raises:
      SpecError: The optimizer steps pairs of parameters, which no task has; or schedule-free has
        a ``b1`` of 0.
    """
    found = _known(opt_state)
    if any(isinstance(state, optax.LookaheadState) for state in found):
        raise SpecError(
            "optimizer",
            "optax.lookahead",
            "one that steps the task's own parameters; lookahead steps pairs of them "
            "(optax.LookaheadParams)",
        )
    for state in found:
        if isinstance(state, ScheduleFreeState) and _is_zero(state.b1):
            raise SpecError("b1", 0.0, "above 0: optax's schedule_free divides by it")
    return bool(found)


def evaluated_params(opt_state: PyTree, params: PyTree) -> PyTree:
    """Return the parameters to evaluate: schedule-free's averages, SAM's without its ascent.

    Raises:
      SpecError: A state has other parameters than the task.
    """
    for state in _known(opt_state):
        if isinstance(state, ScheduleFreeState):
            params = _replaced(state.z, params, partial(_averaged, state))
        elif isinstance(state, SAMState) and state.cache is not None:
            # Right after a synchronisation the cache is that of the period before.
            params = _replaced(state.cache, params, partial(jnp.where, state.steps_since_sync > 0))
    return params


def _averaged(state: ScheduleFreeState, z: Array, y: Array) -> Array:
    return optax.contrib.schedule_free_eval_params(state._replace(z=z), y)


def _replaced(kept: PyTree, params: PyTree, rule: Callable[[Array, Array], Array]) -> PyTree:
    """Apply a rule to each parameter and what the state keeps of it, where it is not masked."""
    leaves, structure = jax.tree.flatten(params)
    try:
        others = structure.flatten_up_to(kept)
    except ValueError as error:
        raise SpecError(
            "optimizer",
            "a wrapper that changes the structure of the parameters",
            "an OptimizerSpec with `eval_params`, because it is evaluated elsewhere than it steps "
            "and the place cannot be found in its state",
        ) from error
    return structure.unflatten(
        [
            leaf if isinstance(other, optax.MaskedNode) else rule(other, leaf)
            for leaf, other in zip(leaves, others, strict=True)
        ]
    )


def _is_zero(number: ArrayLike) -> bool:
    """Return whether a number, or one of several, is 0; not known of a traced one."""
    return not isinstance(number, Tracer) and not np.all(number)


def _known(opt_state: PyTree) -> list[_Known]:
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, _Known))
    return [leaf for leaf in leaves if isinstance(leaf, _Known)]
