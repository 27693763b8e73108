"""The compiled program of one task: particles side by side, with any weights.

Gradient estimates, validation and searches all run through it, because compiling it is what
costs: a learned optimizer inside a training loop is thousands of operations.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PyTree

from velodrome.optimizers.metatrain.config.inner import UnrollConfig
from velodrome.optimizers.metatrain.es.tasks import InnerTask, open_task
from velodrome.optimizers.metatrain.es.unroll import (
    Carry,
    MakeOptimizer,
    Outcome,
    Problem,
    Steps,
    make_unroll,
    make_window,
)
from velodrome.optimizers.velo.controller import Controller
from velodrome.optimizers.velo.optimizer import velo_from_theta
from velodrome.optimizers.velo.reads import Reads
from velodrome.optimizers.velo.transform import scale_by_pruned
from velodrome.taskgen.spec import TaskSpec

Particles = Callable[[PyTree, Problem, int], Outcome]

Tree = TypeVar("Tree")

# On a CPU full optimisation by LLVM took half of the compile time again, for no faster loops.
_CPU_OPTIONS = {"xla_backend_optimization_level": 1}


@functools.lru_cache(maxsize=256)
def open_program(
    spec: TaskSpec, vary: tuple[str, ...], unroll: UnrollConfig
) -> tuple[InnerTask, Particles]:
    """Return a task and its program for VeLO; later calls return the one that is compiled."""
    inner = open_task(spec, vary=vary)
    return inner, make_particles(inner, unroll)


@functools.lru_cache(maxsize=256)
def open_pruned_program(
    spec: TaskSpec, reads: Reads, unroll: UnrollConfig
) -> tuple[InnerTask, Particles]:
    """Return a task and its program for controllers that were pruned alike; see `open_program`."""
    inner = open_task(spec, vary=())

    def optimizer(controller: Controller, steps: Array) -> optax.GradientTransformationExtraArgs:
        return scale_by_pruned(controller, reads, steps)

    return inner, make_particles(inner, unroll, optimizer)


def make_particles(
    inner: InnerTask, unroll: UnrollConfig, make_optimizer: MakeOptimizer = velo_from_theta
) -> Particles:
    """Return ``run(weights, problems, steps)``: one inner problem for each weights.

    ``weights`` and ``problems`` have a leading axis of one length, which fixes the program (as
    the shapes of a task do); ``steps`` may be anything up to ``unroll.high``. The axis is spread
    over the local devices if it divides among them.
    """
    pieces = Steps(inner.task, inner.source.gather, make_optimizer)
    lanes = _batched(make_unroll(pieces, unroll), in_axes=(0, 0, None, None))

    def run(weights: PyTree, problems: Problem, steps: int) -> Outcome:
        weights, problems = spread((weights, problems))
        return lanes(weights, problems, steps, inner.source.arrays)

    return run


@dataclass(frozen=True, eq=False)
class Windows:
    """A task's programs for truncated unrolls, all particles side by side.

    Attributes:
      inner: The task.
      start: ``start(weights, problems, steps) -> carry``.
      shapes: ``shapes(weights, problems, steps)``: the shapes of that carry, without computing.
      advance: ``advance(weights, problems, carry, begin, end, steps) -> (carry, losses)``.
    """

    inner: InnerTask
    start: Callable[[PyTree, Problem, int], Carry]
    shapes: Callable[[PyTree, Problem, int], Carry]
    advance: Callable[[PyTree, Problem, Carry, Array, Array, Array], tuple[Carry, Array]]


@functools.lru_cache(maxsize=256)
def open_windows(spec: TaskSpec, vary: tuple[str, ...]) -> Windows:
    """Return the programs of truncated unrolls of a task for VeLO; later calls return the same."""
    inner = open_task(spec, vary=vary)
    pieces = Steps(inner.task, inner.source.gather, velo_from_theta)
    start = _batched(pieces.start, in_axes=(0, 0, None))
    window = _batched(make_window(pieces), in_axes=(0, 0, 0, None, None, None, None))

    def begin(weights: PyTree, problems: Problem, steps: int) -> Carry:
        weights, problems = spread((weights, problems))
        return start(weights, problems, jnp.asarray(steps, jnp.int32))

    def advance(
        weights: PyTree, problems: Problem, carry: Carry, *where: Array
    ) -> tuple[Carry, Array]:
        weights, problems, carry = spread((weights, problems, carry))
        return window(weights, problems, carry, *where, inner.source.arrays)

    def shapes(weights: PyTree, problems: Problem, steps: int) -> Carry:
        lanes = jax.vmap(pieces.start, in_axes=(0, 0, None))
        return jax.eval_shape(lanes, weights, problems, jnp.asarray(steps, jnp.int32))

    return Windows(inner, begin, shapes, advance)


def spread(tree: Tree) -> Tree:
    """Shard the leading axis over the local devices, if it divides among them."""
    devices = jax.local_devices()
    length = len(jax.tree.leaves(tree)[0])
    if len(devices) == 1 or length % len(devices):
        return tree
    mesh = jax.sharding.Mesh(np.asarray(devices), ("particles",))
    return jax.device_put(
        tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("particles"))
    )


def _batched(run: Callable[..., Any], *, in_axes: tuple[int | None, ...]) -> Callable[..., Any]:
    # The inner jit makes the operations be traced once, and batched as a whole after that.
    options = _CPU_OPTIONS if jax.default_backend() == "cpu" else None
    return jax.jit(jax.vmap(jax.jit(run), in_axes=in_axes), compiler_options=options)


def repeat_each(tree: Tree, times: int) -> Tree:
    """Repeat each entry along the leading axis: a, a, b, b, ..."""
    return jax.tree.map(lambda leaf: jnp.repeat(leaf, times, axis=0), tree)


def repeat_all(tree: Tree, times: int) -> Tree:
    """Repeat all entries along the leading axis: a, b, ..., a, b, ..."""
    return jax.tree.map(lambda leaf: jnp.concatenate([leaf] * times), tree)
