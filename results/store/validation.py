"""What belongs into a store: its own plan, its own shards, one suite under one protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from velodrome.foundation.errors import StoreError
from velodrome.results.store.curves import LaneInfo
from velodrome.results.store.json_files import Json, Report, checked, read_json
from velodrome.results.store.plan import Hyperparameters, Lane, Plan
from velodrome.results.store.records import Manifest, ProtocolRecord, ShardMetadata
from velodrome.results.store.shard_file import check_schema

KIND = "velodrome-store"

#: A message names at most this many tasks, and gives the number of the others.
_NAMED_TASKS = 3


def check_manifest(manifest: object, directory: Path, *, report: Report | None = None) -> Manifest:
    """Return the manifest of a store if it says which suite and protocol the store is of.

    With ``report``, damaged facts that nothing depends on are left out and reported.

    Raises:
      StoreError: It does not, or has another schema.
    """
    path = directory / "manifest.json"
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise StoreError(f"{path} does not belong to a velodrome store")
    check_schema(manifest.get("schema"), what=f"the store {directory}")
    if "protocol" in manifest:  # what results mean depends on all of it
        checked(ProtocolRecord, manifest["protocol"], path)
    return checked(Manifest, manifest, path, report=report)


def read_plan(directory: Path, manifest: Manifest) -> Plan:
    """Return the plan of a store.

    Raises:
      StoreError: The file is damaged, or its hash is not the manifest's ``plan_hash``.
    """
    path = directory / "plan.json"
    content = read_json(path)
    try:
        plan = Plan.from_json(content)
        recorded = manifest.get("plan_hash")
        if recorded is not None and plan.hash != recorded:
            raise StoreError(
                f"its content hash is {_short(plan.hash)}, the manifest's plan_hash is "
                f"{_short(recorded)}"
            )
    except StoreError as problem:
        raise StoreError(
            f"{path} is not the plan that this store was made with: {problem}"
        ) from problem
    return plan


def check_same(directory: Path, *, there: tuple[Json, Json], asked: tuple[Json, Json]) -> None:
    """Raise a `StoreError` unless a store is of the suite and protocol that are asked for.

    The message says what differs: fields of the protocol, optimizers, tasks.

    Args:
      there: Its manifest and its suite.
      asked: Those that it would be made with now.
    """
    keys = (lambda m: m["suite"]["hash"], lambda m: m["protocol_hash"])
    if all(key(there[0]) == key(asked[0]) for key in keys):
        return
    found = list(_differences(there, asked))
    if not found:  # a hand-made store that says no more than its hashes
        found = [
            f"{what} {_short(key(there[0]))} there, {_short(key(asked[0]))} asked for"
            for what, key in zip(("suite", "protocol"), keys, strict=True)
            if key(there[0]) != key(asked[0])
        ]
    names = [str(manifest["suite"].get("name")) for manifest, _ in (there, asked)]
    suites = f"{names[0]} as asked for" if names[0] == names[1] else f"{names[1]}, asked for here"
    raise StoreError(
        f"{directory} holds results of the suite {names[0]}, which is not the suite {suites}: "
        f"{'; '.join(found)}. Results of two suites or protocols never mix: choose another "
        "directory, or ask for what is there"
    )


def _differences(there: tuple[Json, Json], asked: tuple[Json, Json]) -> Iterator[str]:
    protocols = [manifest.get("protocol", {}) for manifest, _ in (there, asked)]
    for name in dict.fromkeys([*protocols[0], *protocols[1]]):
        values = [protocol.get(name) for protocol in protocols]
        if values[0] != values[1]:
            yield f"{name}: {_text(values[0])} there, {_text(values[1])} asked for"
    optimizers = [suite.get("optimizers") for _, suite in (there, asked)]
    if optimizers[0] != optimizers[1]:
        yield f"optimizers: {_text(optimizers[0])} there, {_text(optimizers[1])} asked for"
    tasks = [_tasks(suite) for _, suite in (there, asked)]
    only = [[tasks[at][key] for key in tasks[at] if key not in tasks[1 - at]] for at in (0, 1)]
    for labels, where in zip(only, ("only there", "only asked for"), strict=True):
        if labels:
            more = len(labels) - _NAMED_TASKS
            named = ", ".join(labels[:_NAMED_TASKS]) + (f" and {more} more" if more > 0 else "")
            yield f"tasks {where}: {named}"
    if not any(only) and list(tasks[0]) != list(tasks[1]):
        yield "the same tasks in another order"


def _tasks(suite: Json) -> dict[str, str]:
    found = {}
    for entry in suite.get("tasks", ()):
        spec, digest = entry.get("spec", {}), entry.get("hash", "")
        found[digest] = spec.get("name") or f"{spec.get('family', 'task')}-{digest[:8]}"
    return found


def foreign(shard_id: str, metadata: ShardMetadata, *, manifest: Manifest, plan: Plan) -> str:
    """Return why a shard does not belong to a store; empty when it does.

    The plan's hash is not compared: the ids of shard and cell stand for all that its numbers depend
    on, and a store whose plan was replaced keeps the shards that the new plan has too.
    """
    expected = {
        "shard": shard_id,
        "suite_hash": manifest["suite"]["hash"],
        "protocol_hash": manifest["protocol_hash"],
    }
    for key, value in expected.items():
        if metadata.get(key) != value:
            return f"its {key} is {metadata.get(key)!r}, the store's is {value!r}"
    if not plan.has_shard(shard_id):
        return "the store's plan has no such shard"
    cell, planned = metadata["cell"]["id"], plan.shard(shard_id)
    if cell != planned.cell:
        return f"its cell is {cell!r}, the plan's is {planned.cell!r}"
    if _runs(metadata["lanes"]) != _runs(planned.lanes):
        return "its runs (lanes, seeds, hyperparameters) are not the plan's"
    return ""


def _runs(lanes: Iterable[Lane | LaneInfo]) -> list[tuple[int, int, Hyperparameters]]:
    ordered = sorted(lanes, key=lambda lane: lane.lane)
    return [(lane.lane, lane.seed, dict(lane.hyperparameters)) for lane in ordered]


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


def _short(digest: object) -> str:
    return str(digest)[:12]
