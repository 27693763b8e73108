"""The memory that a training step takes on each device, from the compiler and without any array."""

from __future__ import annotations

import time
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import PyTree

from velodrome.optimizers.spec import OptimizerSpec
from velodrome.suites.planning.shards import split_static
from velodrome.suites.planning.spread import Spread
from velodrome.suites.suite import Suite
from velodrome.suites.training.lane_batch import traced_number
from velodrome.suites.training.placement import Placement
from velodrome.suites.training.programs import LanePrograms, TaskPrograms, Traced
from velodrome.taskgen.build import build
from velodrome.taskgen.network import batch_shapes
from velodrome.taskgen.numerics import numerics


@dataclass(frozen=True)
class StepMemory:
    """What a training step takes on each device, in bytes.

    Attributes:
      kept: Parameters, model state, optimizer state, and the batch.
      temporary: Everything else that is alive at the same time, at most.
      seconds: Seconds of tracing and compiling.
    """

    kept: int
    temporary: int
    seconds: float

    @property
    def total(self) -> int:
        return self.kept + self.temporary


def step_memory(
    suite: Suite, task_index: int, optimizer: OptimizerSpec, spread: Spread
) -> StepMemory:
    """Compile a training step for the devices of a spread, and return what it takes on each.

    Nothing of the size of the task is allocated, and no data are loaded: the compiler gets shapes,
    and where their parts are kept.

    Raises:
      PlanError: This process has fewer devices; a CPU pretends to be several with the compiler
        flag ``--xla_force_host_platform_device_count``.
    """
    spec, protocol = suite.tasks[task_index], suite.protocol
    placement = Placement(spread)
    static, traced = split_static(optimizer, optimizer.points[0])
    start = time.perf_counter()
    with numerics():
        shared = TaskPrograms(build(spec), protocol, lanes=False, placement=placement)
        horizon = protocol.horizon(optimizer.name)
        programs = LanePrograms(shared, optimizer, horizon=horizon, static=static, lanes=False)
        numbers = {name: traced_number(value) for name, value in traced.items()}
        lane, seed = Traced(numbers, np.int32(0)), np.uint32(0)
        state = programs.start.shapes(*shared.init.shapes(seed), lane)
        batch = {
            name: jax.ShapeDtypeStruct((1, *field.shape), field.dtype)
            for name, field in batch_shapes(spec.view, spec.batch_size).items()
        }
        kept, temporary = programs.train.memory(
            _there(state, placement.of_state(state)),
            lane,
            _there(batch, placement.of_examples(batch, axis=1)),
            seed,
            np.int32(0),
        )
    return StepMemory(kept, temporary, time.perf_counter() - start)


def _there(shapes: PyTree, places: PyTree) -> PyTree:
    """Return shapes with where arrays of them are kept."""
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        shapes,
        places,
    )
