"""What a plan amounts to before it is run: lanes, predicted seconds, memory, disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from velodrome.foundation.text import size
from velodrome.suites.planning.plan import Plan, shards_of
from velodrome.suites.protocol import Protocol
from velodrome.taskgen.budget import DeviceProfile

#: Bytes of a row in a shard file, measured on the demo (compressed; mostly the value itself).
ROW_BYTES = 4.5

#: What seconds are predicted for where no device is named. The core: fitted to the times of 15
#: tasks in one thread that docs/running.md lists, which it meets within a factor of 1.8. The GPU:
#: round guesses.
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

#: What a process holds before any task: interpreter, jax, flax.
PROCESS_BYTES = 450 * 2**20


@dataclass(frozen=True)
class CellOverview:
    """A cell in numbers.

    Attributes:
      id: The cell's id.
      task: Label of the task.
      family: Family of the task.
      optimizer: Label of the optimizer.
      horizon: Updates of each lane.
      lanes: Runs in the cell.
      shards: Shards in the cell.
      mode: How lanes are run.
      seconds: Predicted seconds on one core or device, without compiling.
      memory_bytes: Predicted memory of its largest shard.
      disk_bytes: Predicted size of its files.
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


def overview(
    plan: Plan,
    protocol: Protocol,
    data_bytes: Mapping[str, int] | None = None,
    profile: DeviceProfile | None = None,
) -> list[CellOverview]:
    """Returns an overview of each cell, in the plan's order.

    Args:
      plan: The plan.
      protocol: The suite's protocol.
      data_bytes: By task hash, what the task's data take in memory.
      profile: The device that seconds are predicted for; by default one core of a server, or a
        large GPU, roughly.
    """
    known, profile = data_bytes or {}, profile or _default_profile(plan)
    return [
        _cell(plan, cell, protocol, known.get(cell["task"]["hash"], 0), profile)
        for cell in plan["cells"]
    ]


def too_large(cells: Sequence[CellOverview], free_bytes: int) -> str | None:
    """Returns a warning if cells are predicted not to fit in memory even alone, or None."""
    large = [cell for cell in cells if cell.memory_bytes > free_bytes]
    if not large:
        return None
    worst = max(large, key=lambda cell: cell.memory_bytes)
    return (
        f"{len(large)} of {len(cells)} cells may not fit in memory: {worst.task} / "
        f"{worst.optimizer} is predicted to take {size(worst.memory_bytes)}, and "
        f"{size(free_bytes)} are free. What the system kills is recorded, and the others "
        "go on."
    )


def shard_seconds(plan: Plan, shard: Mapping[str, Any], protocol: Protocol) -> float:
    """Returns the predicted seconds of a shard on one core or device, without compiling."""
    cell = next(cell for cell in plan["cells"] if cell["id"] == shard["cell"])
    return device_seconds(cell, len(shard["lanes"]), protocol, _default_profile(plan))


def step_seconds(plan: Plan, cell: Mapping[str, Any], protocol: Protocol) -> float:
    """Returns the predicted seconds of a lane's step on one core or device, evaluations shared."""
    return device_seconds(cell, 1, protocol, _default_profile(plan)) / cell["horizon"]


def _cell(
    plan: Plan,
    cell: Mapping[str, Any],
    protocol: Protocol,
    data_bytes: int,
    profile: DeviceProfile,
) -> CellOverview:
    shards = shards_of(plan, cell["id"])
    lanes = sum(len(shard["lanes"]) for shard in shards)
    rows = 2 * sum(
        len(protocol.evaluations(cell["horizon"], split)) for split in ("train", "heldout")
    )
    return CellOverview(
        id=cell["id"],
        task=cell["task"]["label"],
        family=cell["task"]["family"],
        optimizer=cell["optimizer"]["label"],
        horizon=cell["horizon"],
        lanes=lanes,
        shards=len(shards),
        mode=cell["batching"]["mode"],
        seconds=sum(device_seconds(cell, len(s["lanes"]), protocol, profile) for s in shards),
        memory_bytes=PROCESS_BYTES
        + data_bytes
        + max(_shard_bytes(cell, len(shard["lanes"]), protocol) for shard in shards),
        disk_bytes=int(lanes * rows * ROW_BYTES) + 6000 * len(shards),
    )


def device_seconds(
    cell: Mapping[str, Any], lanes: int, protocol: Protocol, profile: DeviceProfile
) -> float:
    """Predicts the seconds of a shard on a device, without compiling and the optimizer's work.

    The roofline of :func:`velodrome.taskgen.budget.predict_seconds`; lanes in one program share its
    kernels' and steps' overheads. An evaluation is taken for the part of a training step that
    its FLOPs are.

    Args:
      cell: A cell of a plan.
      lanes: Lanes of the shard.
      protocol: The suite's protocol.
      profile: The device.
    """
    cost, horizon = cell["cost"], cell["horizon"]
    evaluations = sum(len(protocol.evaluations(horizon, split)) for split in ("train", "heldout"))
    evaluation = (
        cost["eval_flops_per_example"] * _eval_examples(cell, protocol) / max(1, cost["flops"])
    )
    # Plans of the first versions count no kernels.
    overhead = cost.get("kernels", 0) * profile.kernel_s + profile.overhead_s
    work = max(
        cost["flops"] / (profile.peak_flops * profile.derate),
        cost["bytes"] / (profile.peak_bytes_per_s * profile.derate),
    )
    programs = 1 if cell["batching"]["mode"] == "vmap" else lanes
    busy = lanes * work * (horizon + evaluations * evaluation)
    return busy + programs * overhead * (horizon + evaluations)


def _default_profile(plan: Plan) -> DeviceProfile:
    return _CORE if plan["rule"]["backend"] == "cpu" else _ACCELERATOR


def _shard_bytes(cell: Mapping[str, Any], lanes: int, protocol: Protocol) -> int:
    cost = cell["cost"]
    state = cost["memory_bytes"] - 2 * cost["activation_bytes"]
    step = 2 * cost["activation_bytes"]
    together = lanes if cell["batching"]["mode"] == "vmap" else 1
    # An evaluation keeps nothing for a backward pass: this is more than it takes.
    batch_size = cell.get("batch_size", 128)
    examples = cell["batching"]["eval_slice"] or protocol.examples_together(batch_size)
    evaluation = cost["activation_bytes"] * examples // batch_size
    return lanes * state + together * max(step, evaluation)


def _eval_examples(cell: Mapping[str, Any], protocol: Protocol) -> int:
    # Plans older than the protocol's eval_batch_count have no batch size, and do not need it.
    return protocol.examples(cell.get("batch_size", 0))
