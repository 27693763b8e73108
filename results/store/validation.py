"""Which shards belong into a store: as they are planned, or with an id that is their own."""

from __future__ import annotations

from velodrome.results.store.plan import Plan, shard_id
from velodrome.results.store.records import ShardMetadata


def foreign(shard: str, metadata: ShardMetadata, plan: Plan) -> str:
    """Return why a shard does not belong to a store; empty when it does.

    Shards of the plan must have the runs that are planned; the ids of all others, which answer
    other questions, stand for what they hold.
    """
    if metadata["shard"] != shard:
        return f"its shard is {metadata['shard']!r}, not {shard!r}"
    cell, lanes = metadata["cell"]["id"], metadata["lanes"]
    if not plan.has_shard(shard):
        return "" if _own_id(metadata) == shard else "its id is not that of the runs in it"
    planned = plan.shard(shard)
    if cell != planned.cell:
        return f"its cell is {cell!r}, the plan's is {planned.cell!r}"
    if metadata.get("stop", planned.stop) != planned.stop:
        return f"its runs go to step {metadata.get('stop')}, the plan's to {planned.stop}"
    if [lane.run for lane in lanes] != [lane.run for lane in planned.lanes]:
        return "its runs (seeds, hyperparameters) are not the plan's"
    return ""


def _own_id(said: ShardMetadata) -> str:
    if not {"mode", "eval_slice", "block", "stop"} <= said.keys():
        return ""
    return shard_id(
        said["cell"]["id"],
        mode=said.get("mode", ""),
        eval_slice=said.get("eval_slice", 0),
        block=said.get("block", 0),
        lanes=said["lanes"],
        start=said.get("start", 0),
        stop=said.get("stop", 0),
    )
