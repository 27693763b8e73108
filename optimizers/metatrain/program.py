"""The compiled program of one task: particles side by side, whatever their weights.

Gradient estimates, validation and searches all run through the same one, because compiling it is
what costs: a learned optimizer inside a training loop is thousands of operations.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from optimizers.metatrain.config import UnrollConfig
from optimizers.metatrain.tasks import InnerTask, open_task
from optimizers.metatrain.unroll import Outcome, Problem, make_unroll
from optimizers.velo import velo_from_theta
from taskgen import TaskSpec

MakeOptimizer = Callable[[Any, Array], optax.GradientTransformationExtraArgs]
Particles = Callable[[Any, Problem, int], Outcome]

# On a CPU full optimisation by LLVM took half of the compile time again, for no faster loops.
_CPU_OPTIONS = {"xla_backend_optimization_level": 1}


@functools.lru_cache(maxsize=256)
def open_program(
    spec: TaskSpec, vary: tuple[str, ...], unroll: UnrollConfig
) -> tuple[InnerTask, Particles]:
    """Returns a task and its program for VeLO; asked again, the same one, compiled already."""
    inner = open_task(spec, vary=vary)
    return inner, make_particles(inner, unroll)


def make_particles(
    inner: InnerTask, unroll: UnrollConfig, make_optimizer: MakeOptimizer = velo_from_theta
) -> Particles:
    """Returns ``run(weights, problems, steps)``: one inner problem for each weights.

    ``weights`` and ``problems`` have a leading axis of one length, which fixes the program (as
    the shapes of a task do); ``steps`` may be anything up to ``unroll.high``.

    Args:
      inner: The task.
      unroll: Longest unroll, and the objective.
      make_optimizer: Makes the optimizer of (one of the weights, the number of steps).
    """
    run = make_unroll(inner.task, inner.source.gather, make_optimizer, unroll, longest=unroll.high)
    options = _CPU_OPTIONS if jax.default_backend() == "cpu" else None
    # The inner jit makes the operations be traced once, and batched as a whole after that.
    lanes = jax.jit(
        jax.vmap(jax.jit(run), in_axes=(0, 0, None, None)),
        compiler_options=options,
    )
    return functools.partial(_with_arrays, lanes, inner)


def repeat_each(tree: Any, times: int) -> Any:
    """Repeats each entry along the leading axis: a, a, b, b, ..."""
    return jax.tree.map(lambda leaf: jnp.repeat(leaf, times, axis=0), tree)


def repeat_all(tree: Any, times: int) -> Any:
    """Repeats all entries along the leading axis: a, b, ..., a, b, ..."""
    return jax.tree.map(lambda leaf: jnp.concatenate([leaf] * times), tree)


def _with_arrays(lanes: Any, inner: InnerTask, weights: Any, problems: Problem, steps: int):
    return lanes(weights, problems, steps, inner.source.arrays)
