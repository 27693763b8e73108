"""The rule that groups the lanes of a cell into shards.

docs/explanation/batching.md has its measurements.
"""

from __future__ import annotations

from velodrome.results.store.plan import Batching
from velodrome.taskgen.cost.sheet import Cost

#: Raised when the rule changes: a plan records which one made it.
RULE_VERSION = 3

#: Most lanes that a CPU shard trains one after another. They share their batches; more would
#: leave cores idle at the end of a run.
CPU_LANES = 5

#: A CPU shard should not be longer than this many FLOPs (half an hour at 25 GFLOP/s).
CPU_SHARD_FLOPS = 5e13

#: On a CPU, small steps are run for all lanes of a shard at once: then overheads, which are most
#: of such a step, are paid once. It takes another compilation (one lane is compiled anyway, for
#: the timing), so only in cells with this many steps in all.
CPU_VMAP_FLOPS = 8e6
CPU_VMAP_STEPS = 200_000

#: On a CPU, an evaluation with more activations than this goes through its examples in slices
#: whose activations fit in a core's cache: fresh pages for large temporaries cost a CNN twice the
#: time of its forward pass. Below it, slices cost an MLP a third more time.
CPU_WHOLE_BYTES = 8 * 2**20
CPU_SLICE_BYTES = 2 * 2**20
CPU_LEAST_SLICE = 32

#: On a CPU, steps of more FLOPs than this are run one in a call: a call is no longer a cost, and
#: between two of them the run can be stopped and saved.
CPU_BLOCK_FLOPS = 2e9

#: What the lanes of an accelerator shard may take together, in bytes.
ACCELERATOR_BYTES = 8 * 2**30


def choose(
    cost: Cost,
    *,
    batch_size: int,
    horizon: int,
    seeds: int,
    points: int,
    eval_examples: int,
    backend: str,
    parts: int = 1,
    alone: bool = False,
) -> Batching:
    """Return the batching of a cell; a pure function of its arguments.

    ``cost`` is that of a step of one lane, whose batch goes through the network in ``parts``;
    ``backend`` is ``"cpu"``, ``"gpu"`` or ``"tpu"``. With ``alone``, one lane has all devices of
    the process, and is a shard by itself.
    """
    eval_slice = choose_eval_slice(cost, batch_size, eval_examples, backend, parts)
    if alone:
        slow = backend == "cpu" and cost.flops > CPU_BLOCK_FLOPS
        return Batching("sequential", 1, 1, eval_slice, int(slow))
    if backend == "cpu":
        longest = int(CPU_SHARD_FLOPS // max(1, cost.flops * horizon))
        together = max(1, min(CPU_LANES, points, longest))
        small = cost.flops <= CPU_VMAP_FLOPS and together > 1
        if small and horizon * seeds * points >= CPU_VMAP_STEPS:
            return Batching("vmap", 1, together, eval_slice)
        block = 1 if cost.flops > CPU_BLOCK_FLOPS else 0
        return Batching("sequential", 1, together, eval_slice, block)
    lanes = int(max(1, ACCELERATOR_BYTES // max(1, cost.memory_bytes)))
    fitting = min(points, lanes)
    return Batching("vmap", max(1, min(seeds, lanes // fitting)), fitting, eval_slice)


def choose_eval_slice(
    cost: Cost, batch_size: int, eval_examples: int, backend: str, parts: int = 1
) -> int:
    """Return how many examples an evaluation looks at together; 0 is all."""
    together = batch_size // parts
    if backend != "cpu":
        return together if parts > 1 else 0
    whole = cost.activation_bytes * eval_examples // together
    if whole <= CPU_WHOLE_BYTES:
        return 0
    fitting = CPU_SLICE_BYTES * together // max(1, cost.activation_bytes)
    return max(CPU_LEAST_SLICE, 1 << max(0, fitting.bit_length() - 1))


def rule(backend: str, *, alone: bool = False) -> dict[str, object]:
    """Return the rule's version and constants, as plans record them."""
    if alone:
        constants = {"lanes": 1, "block_flops": CPU_BLOCK_FLOPS}
    elif backend == "cpu":
        constants = {
            "lanes": CPU_LANES,
            "shard_flops": CPU_SHARD_FLOPS,
            "vmap_flops": CPU_VMAP_FLOPS,
            "vmap_steps": CPU_VMAP_STEPS,
            "whole_bytes": CPU_WHOLE_BYTES,
            "slice_bytes": CPU_SLICE_BYTES,
            "least_slice": CPU_LEAST_SLICE,
            "block_flops": CPU_BLOCK_FLOPS,
        }
    else:
        constants = {"bytes": ACCELERATOR_BYTES}
    return {"version": RULE_VERSION, "backend": backend, **constants}
