"""Curves of small tasks on one device and on several; as a program, on as many as it has.

``python spread_curves.py OPTIMIZER FAMILY`` prints the largest relative difference of a loss on
all devices from that on one, for each kind of sharding, and how many arrays were split, as JSON.
"""

from __future__ import annotations

import functools
import json
import sys
from typing import Any

import jax
import numpy as np

from velodrome.optimizers.registry import optimizers
from velodrome.suites.planning.spread import SHARDINGS, Spread
from velodrome.suites.protocol import Protocol
from velodrome.suites.suite import Suite
from velodrome.suites.training.compiled_task import CompiledTask
from velodrome.suites.training.lanes import LaneLoop
from velodrome.suites.training.placement import Placement
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.numerics import numerics
from velodrome.taskgen.spec import TaskSpec

STEPS = 20

_TRANSFORMER = {
    "d_model_per_head": 32, "num_heads": 4, "key_size": 32, "num_layers": 1,
    "sequence_length": 8, "vocab_size": 128, "dropout": 0.1,
}  # fmt: skip

TASKS = {
    "mlp": TaskSpec(
        "mlp", {"hidden_size": 256, "num_layers": 2, "image_size": 8}, DataSpec("digits"), 32
    ),
    "transformer": TaskSpec("transformer", _TRANSFORMER, DataSpec("kjv"), 8),
}


@functools.cache
def compiled(family: str, spread: Spread | None) -> CompiledTask:
    """One for all loops, so that programs are compiled once."""
    suite = Suite("spread", (TASKS[family],), Protocol(steps=STEPS, eval_every=5, heldout_every=10))
    return CompiledTask(suite, 0, placement=None if spread is None else Placement(spread))


def loop_of(family: str, optimizer: str, spread: Spread | None) -> LaneLoop:
    """Return a lane at its start, with the middle point of the optimizer's grid."""
    task, chosen = compiled(family, spread), optimizers.get(optimizer)
    point = chosen.points[len(chosen.points) // 2]
    return LaneLoop(task.data, [task.lane_batch(chosen, STEPS, [0], [point], [0])], horizon=STEPS)


def losses(loop: LaneLoop) -> np.ndarray:
    columns = loop.buffer.columns(loop.diverged_at())
    return columns["value"][columns["metric"] == "loss"]


def leaves(loop: LaneLoop) -> list[Any]:
    return jax.tree.leaves(loop.lane_batches[0].state)


def split(loop: LaneLoop) -> int:
    """Count the arrays of a state that no device has all of."""
    return sum(not leaf.is_fully_replicated for leaf in leaves(loop))


def main() -> None:
    optimizer, family = sys.argv[1:]
    found = {}
    with numerics():
        alone = loop_of(family, optimizer, None)
        alone.run(lambda _: True)
        for sharding in SHARDINGS:
            loop = loop_of(family, optimizer, Spread(jax.local_device_count(), sharding))
            loop.run(lambda _: True)
            worst = np.max(np.abs(losses(loop) / losses(alone) - 1))
            found[sharding] = float(worst), split(loop), len(leaves(loop))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
