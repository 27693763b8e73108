"""Predict the seconds, memory and disk that a plan takes, before it is run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from velodrome.foundation.text import size
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.results.store.plan import Plan, PlannedCell, Shard
from velodrome.suites.planning.shards import split_static, static_key
from velodrome.suites.planning.spread import Spread
from velodrome.suites.protocol import Protocol
from velodrome.taskgen.budget import DeviceProfile

#: Bytes of a row in a shard file, measured on the demo (compressed; mostly the value itself).
ROW_BYTES = 4.5

#: What seconds are predicted for where no device is named. The core: fitted to the times of 15
#: tasks in one thread that docs/explanation/batching.md lists, which it meets within a factor of
#: 1.8. The GPU: round guesses.
_CORE = DeviceProfile(
    name="core",
    device="a core of a server",
    peak_flops=7e10,
    peak_bytes_per_s=1e10,
    overhead_s=5e-6,
    kernel_s=8e-7,
    memory_bytes=0,
    derate=1.0,
    measured=True,
)
_ACCELERATOR = dataclasses.replace(
    _CORE,
    name="accelerator",
    device="a large GPU",
    peak_flops=1e13,
    peak_bytes_per_s=5e11,
    overhead_s=1e-4,
    kernel_s=5e-6,
    measured=False,
)

#: What a process takes before any task: interpreter, jax, flax.
PROCESS_BYTES = 450 * 2**20


@dataclass(frozen=True)
class CellOverview:
    """A cell in numbers.

    Attributes:
      task: Label of the task.
      optimizer: Label of the optimizer.
      horizon: Updates of each lane.
      mode: How lanes are run.
      seconds: Predicted seconds on one core or device, without compiling.
      memory_bytes: Predicted memory of its largest shard, on each of its devices.
      disk_bytes: Predicted size of its files.
      devices: How many devices train each run together.
    """

    id: str
    task: str
    family: str
    optimizer: str
    horizon: int
    lanes: int
    shards: int
    mode: str
    seconds: float
    memory_bytes: int
    disk_bytes: int
    devices: int = 1


def overview(
    plan: Plan,
    protocol: Protocol,
    data_bytes: Mapping[str, int] | None = None,
    profile: DeviceProfile | None = None,
    spread: Spread | None = None,
) -> list[CellOverview]:
    """Return an overview of each cell, in the plan's order.

    Args:
      data_bytes: Memory that a task's data take, by the task's hash.
      profile: The device that seconds are predicted for; by default one core of a server, or a
        large GPU, roughly.
      spread: The devices that train each run together. What they exchange is not counted, neither
        in seconds nor in memory.
    """
    spread = spread or Spread(1)
    known, profile = data_bytes or {}, profile or _default_profile(plan)
    shards: dict[str, list[Shard]] = {cell.id: [] for cell in plan.cells}
    for shard in plan.shards:
        shards[shard.cell].append(shard)
    return [
        _overview(cell, shards[cell.id], protocol, known.get(cell.task.hash, 0), profile, spread)
        for cell in plan.cells
    ]


def _overview(
    cell: PlannedCell,
    shards: Sequence[Shard],
    protocol: Protocol,
    data_bytes: int,
    profile: DeviceProfile,
    spread: Spread,
) -> CellOverview:
    sizes = [len(shard.lanes) for shard in shards]
    kept = _state_bytes(cell) if cell.extendable else 0
    largest = max(_shard_bytes(cell, lanes, protocol, spread) for lanes in sizes)
    rows = 2 * _evaluations(cell, protocol)
    return CellOverview(
        id=cell.id,
        task=cell.task.label,
        family=cell.task.family,
        optimizer=cell.optimizer.label,
        horizon=cell.horizon,
        lanes=sum(sizes),
        shards=len(shards),
        mode=cell.batching.mode,
        seconds=sum(
            device_seconds(cell, lanes, protocol, profile, devices=spread.devices)
            for lanes in sizes
        ),
        memory_bytes=PROCESS_BYTES + data_bytes + largest,
        disk_bytes=int(sum(sizes) * (rows * ROW_BYTES + kept)) + 6000 * len(shards),
        devices=spread.devices,
    )


def count_programs(plan: Plan, optimizers: Mapping[str, OptimizerSpec]) -> int:
    """Return how many training programs are compiled at least; ``optimizers`` are by their names.

    One for each cell, and for each choice of hyperparameters that is not traced. Lanes that are
    batched in other numbers, as in later stages, take more.
    """
    found = 0
    for cell in plan.cells:
        optimizer = optimizers[cell.optimizer.name]
        points = (split_static(optimizer, lane.hyperparameters) for lane in cell.lanes)
        found += len({static_key(static) for static, _ in points})
    return found


def too_large(cells: Sequence[CellOverview], free_bytes: int) -> str | None:
    """Return a warning if cells are predicted not to fit in memory even alone, or None.

    ``free_bytes`` is the memory of a machine whose CPU is all devices.
    """
    needed = {cell.id: cell.memory_bytes * cell.devices for cell in cells}
    large = [cell for cell in cells if needed[cell.id] > free_bytes]
    if not large:
        return None
    worst = max(large, key=lambda cell: needed[cell.id])
    return (
        f"{len(large)} of {len(cells)} cells may not fit in memory: {worst.task} / "
        f"{worst.optimizer} is predicted to take {size(needed[worst.id])}, and "
        f"{size(free_bytes)} are free. Runs that the system kills are recorded; the others "
        "continue."
    )


def shard_seconds(plan: Plan, shard: Shard, protocol: Protocol) -> float:
    """Predict the seconds of a shard on one core or device, without compiling."""
    cell = plan.cell(shard.cell)
    whole = device_seconds(cell, len(shard.lanes), protocol, _default_profile(plan))
    return whole * (shard.stop - shard.start) / cell.horizon


def step_seconds(plan: Plan, cell: PlannedCell, protocol: Protocol) -> float:
    """Predict the seconds of a lane's step on one core or device, with its part of evaluations."""
    return device_seconds(cell, 1, protocol, _default_profile(plan)) / cell.horizon


def device_seconds(
    cell: PlannedCell, lanes: int, protocol: Protocol, profile: DeviceProfile, *, devices: int = 1
) -> float:
    """Predict the seconds of a shard of a cell, without compiling and the optimizer's work.

    The roofline of `velodrome.taskgen.budget.predict_seconds`; lanes in one program share the
    overheads of kernels and steps. An evaluation takes the part of a training step that its FLOPs
    are. ``devices`` share the work evenly.
    """
    cost = cell.cost
    evaluation = (
        cost.eval_flops_per_example * protocol.examples(cell.batch_size) / max(1, cost.flops)
    )
    work = max(
        cost.flops / (profile.peak_flops * profile.derate),
        cost.bytes / (profile.peak_bytes_per_s * profile.derate),
    )
    overhead = cost.kernels * profile.kernel_s + profile.overhead_s
    evaluations = _evaluations(cell, protocol)
    programs = 1 if cell.batching.mode == "vmap" else lanes
    busy = lanes * work * (cell.horizon + evaluations * evaluation) / devices
    return busy + programs * overhead * (cell.horizon + evaluations)


def _evaluations(cell: PlannedCell, protocol: Protocol) -> int:
    return sum(len(protocol.evaluations(cell.horizon, split)) for split in ("train", "heldout"))


def _default_profile(plan: Plan) -> DeviceProfile:
    return _CORE if plan.backend == "cpu" else _ACCELERATOR


def _state_bytes(cell: PlannedCell) -> int:
    return cell.cost.memory_bytes - 2 * cell.cost.activation_bytes


def _shard_bytes(cell: PlannedCell, lanes: int, protocol: Protocol, spread: Spread) -> int:
    cost = cell.cost
    state = _state_bytes(cell)
    step = 2 * cost.activation_bytes
    together = lanes if cell.batching.mode == "vmap" else 1
    # An evaluation keeps nothing for a backward pass: this is more than it takes.
    examples = cell.batching.eval_slice or protocol.examples_together(cell.batch_size)
    evaluation = cost.activation_bytes * examples // cell.part_size
    activations = together * max(step, evaluation)
    return lanes * state // spread.state_parts + activations // spread.devices
