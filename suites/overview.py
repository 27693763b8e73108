"""What a plan amounts to before it is run: lanes, predicted seconds, memory, disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suites.plan import Plan, shards_of
from suites.protocol import Protocol

#: Bytes of a row in a shard file, measured on the demo (compressed; mostly the value itself).
ROW_BYTES = 4.5

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


def overview(plan: Plan, protocol: Protocol) -> list[CellOverview]:
    """Returns an overview of each cell, in the plan's order."""
    return [_cell(plan, cell, protocol) for cell in plan["cells"]]


def shard_seconds(plan: Plan, shard: Mapping[str, Any], protocol: Protocol) -> float:
    """Returns the predicted seconds of a shard on one core or device, without compiling."""
    cell = next(cell for cell in plan["cells"] if cell["id"] == shard["cell"])
    return len(shard["lanes"]) * _lane_seconds(cell, protocol)


def _cell(plan: Plan, cell: Mapping[str, Any], protocol: Protocol) -> CellOverview:
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
        seconds=lanes * _lane_seconds(cell, protocol),
        memory_bytes=PROCESS_BYTES
        + max(_shard_bytes(cell, len(shard["lanes"]), protocol) for shard in shards),
        disk_bytes=int(lanes * rows * ROW_BYTES) + 6000 * len(shards),
    )


def _lane_seconds(cell: Mapping[str, Any], protocol: Protocol) -> float:
    """Steps by the task's roofline; evaluations by their FLOPs; optimizers are not modelled."""
    cost = cell["cost"]
    step = _step_seconds(cost)
    per_flop = step / max(1, cost["flops"])
    evaluated = sum(
        len(protocol.evaluations(cell["horizon"], split)) for split in ("train", "heldout")
    )
    evaluation = per_flop * cost["eval_flops_per_example"] * protocol.eval_examples
    return cell["horizon"] * step + evaluated * evaluation


def _step_seconds(cost: Mapping[str, int]) -> float:
    from taskgen.budget import local_profile, predict_seconds
    from taskgen.cost import Cost

    fields = ("flops", "bytes", "params", "activation_bytes", "eval_flops_per_example")
    return predict_seconds(Cost(**{name: cost[name] for name in fields}), local_profile())


def _shard_bytes(cell: Mapping[str, Any], lanes: int, protocol: Protocol) -> int:
    cost = cell["cost"]
    state = cost["memory_bytes"] - 2 * cost["activation_bytes"]
    step = 2 * cost["activation_bytes"]
    together = lanes if cell["batching"]["mode"] == "vmap" else 1
    # An evaluation keeps nothing for a backward pass; its widest layer is a fraction of all.
    evaluation = cost["activation_bytes"] * protocol.eval_examples // 64
    return lanes * state + together * max(step, evaluation)
