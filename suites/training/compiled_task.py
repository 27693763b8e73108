"""`CompiledTask`: the data of a task, and the programs that train its lanes."""

from __future__ import annotations

from collections.abc import Sequence

import jax

from velodrome.optimizers.spec import OptimizerSpec
from velodrome.results.store.plan import Hyperparameters, PlannedCell, Shard
from velodrome.suites.planning.batching import choose_eval_slice
from velodrome.suites.planning.shards import split_static, static_key
from velodrome.suites.suite import Suite
from velodrome.suites.training.lane_batch import LaneBatch
from velodrome.suites.training.placement import Placement
from velodrome.suites.training.programs import LanePrograms, TaskPrograms
from velodrome.suites.training.taskdata import TaskData
from velodrome.taskgen.build import build


class CompiledTask:
    """Data and compiled programs of a task.

    Args:
      placement: The devices that each lane is trained on, one lane after another. Default: a lane
        has one device.
    """

    def __init__(self, suite: Suite, task_index: int, *, placement: Placement | None = None):
        self.suite = suite
        self.placement = placement
        self.task = build(suite.tasks[task_index])
        self.data = TaskData(suite.tasks[task_index], suite.protocol, placement)
        self._shared: dict[tuple[bool, int], TaskPrograms] = {}
        self._programs: dict[tuple[object, ...], LanePrograms] = {}

    def programs(
        self,
        optimizer: OptimizerSpec,
        *,
        horizon: int,
        static: Hyperparameters,
        lanes: bool,
        eval_slice: int,
    ) -> LanePrograms:
        """Return the programs of an optimizer, made once."""
        known = horizon if "num_steps" in optimizer.needs else None
        key = (optimizer.name, known, static_key(static), lanes, eval_slice)
        if key not in self._programs:
            shared = lanes, eval_slice
            if shared not in self._shared:
                self._shared[shared] = TaskPrograms(
                    self.task,
                    self.suite.protocol,
                    lanes=lanes,
                    eval_slice=eval_slice,
                    placement=self.placement,
                )
            self._programs[key] = LanePrograms(
                self._shared[shared], optimizer, horizon=horizon, static=static, lanes=lanes
            )
        return self._programs[key]

    def lane_batch(
        self,
        optimizer: OptimizerSpec,
        horizon: int,
        seeds: list[int],
        points: Sequence[Hyperparameters],
        numbers: list[int],
        *,
        vmap: bool = False,
        eval_slice: int | None = None,
    ) -> LaneBatch:
        """Return lanes with their programs: one lane, or with ``vmap`` all seeds x points.

        ``numbers`` are those of the lanes in their cell. ``eval_slice`` (the examples that an
        evaluation looks at together) is the batching rule's by default.
        """
        if eval_slice is None:
            spec = self.task.spec
            examples = self.suite.protocol.examples(spec.batch_size)
            eval_slice = choose_eval_slice(
                self.task.cost,
                spec.batch_size,
                examples,
                jax.default_backend(),
                spec.grad_accumulation,
            )
        split = [split_static(optimizer, point) for point in points]
        programs = self.programs(
            optimizer, horizon=horizon, static=split[0][0], lanes=vmap, eval_slice=eval_slice
        )
        return LaneBatch(programs, seeds, [traced for _, traced in split], numbers, vmap=vmap)

    def lane_batches(
        self, shard: Shard, cell: PlannedCell, optimizer: OptimizerSpec
    ) -> list[LaneBatch]:
        """Return the lanes of a shard: all in one batch, or each in a batch."""
        vmap = shard.mode == "vmap" and self.placement is None
        lane_batches = []
        for members in [shard.lanes] if vmap else [(lane,) for lane in shard.lanes]:
            seeds = list(dict.fromkeys(lane.seed for lane in members))
            of_first_seed = members[: len(members) // len(seeds)]
            lane_batches.append(
                self.lane_batch(
                    optimizer,
                    cell.horizon,
                    seeds,
                    [lane.hyperparameters for lane in of_first_seed],
                    [lane.lane for lane in members],
                    vmap=vmap,
                    eval_slice=shard.eval_slice,
                )
            )
        return lane_batches
