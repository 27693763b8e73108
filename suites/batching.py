"""The rule that groups the lanes of a cell into shards; docs/running.md has what it rests on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from taskgen.cost import Cost

#: Raised when the rule changes, so that a plan says which one it was made by.
RULE_VERSION = 1

#: Most lanes that a CPU shard trains one after another. They share their batches; more would
#: leave cores idle at the end of a run.
CPU_LANES = 5

#: A CPU shard should not be longer than this many FLOPs (half an hour at 25 GFLOP/s).
CPU_SHARD_FLOPS = 5e13

#: What the lanes of an accelerator shard may take together, in bytes.
ACCELERATOR_BYTES = 8 * 2**30


@dataclass(frozen=True)
class Batching:
    """How the lanes of a cell are grouped and run.

    Attributes:
      mode: ``"sequential"``: one program of one lane, called for each lane in turn, so that a
        lane's numbers do not depend on its neighbours. ``"vmap"``: one program for all lanes.
      seeds: Seeds in a shard.
      points: Grid points in a shard.
    """

    mode: str
    seeds: int
    points: int

    def to_json(self) -> dict[str, Any]:
        """Returns the fields."""
        return asdict(self)


def choose(cost: Cost, *, horizon: int, seeds: int, points: int, backend: str) -> Batching:
    """Returns the batching of a cell; a pure function of its arguments.

    Args:
      cost: Cost of a step of one lane.
      horizon: Steps of a lane.
      seeds: Repetitions in the cell.
      points: Grid points in the cell.
      backend: ``"cpu"``, ``"gpu"`` or ``"tpu"``.
    """
    if backend == "cpu":
        longest = int(CPU_SHARD_FLOPS // max(1, cost.flops * horizon))
        return Batching("sequential", seeds=1, points=max(1, min(CPU_LANES, points, longest)))
    lanes = max(1, ACCELERATOR_BYTES // max(1, cost.memory_bytes))
    fitting_points = int(min(points, lanes))
    return Batching(
        "vmap", seeds=int(max(1, min(seeds, lanes // fitting_points))), points=fitting_points
    )


def rule(backend: str) -> dict[str, Any]:
    """Returns the rule's version and constants, as plans record them."""
    constants: dict[str, Any]
    if backend == "cpu":
        constants = {"lanes": CPU_LANES, "shard_flops": CPU_SHARD_FLOPS}
    else:
        constants = {"bytes": ACCELERATOR_BYTES}
    return {"version": RULE_VERSION, "backend": backend, **constants}
