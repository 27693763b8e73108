"""What belongs into a store: its own plan, its own shards, one suite under one protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import StoreError
from velodrome.results.store.shard_file import check_schema

KIND = "velodrome-store"

#: Tasks that a difference names; of more, it gives the number.
_NAMED_TASKS = 3

_CELL_KEYS = frozenset({"id", "task", "optimizer", "horizon"})
_SHARD_KEYS = frozenset({"id", "cell", "lanes"})


def check_manifest(manifest: Any, directory: Path) -> None:
    """Raises StoreError unless ``manifest`` says which suite and protocol the store is of.

    Args:
      manifest: the content of ``manifest.json``.
      directory: the store, for the message.
    """
    path = directory / "manifest.json"
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise StoreError(f"{path} does not belong to a velodrome store")
    check_schema(manifest.get("schema"), what=f"the store {directory}")
    suite = manifest.get("suite")
    if not isinstance(suite, dict) or "hash" not in suite or "protocol_hash" not in manifest:
        raise StoreError(
            f"{path} lacks suite.hash or protocol_hash: put the original file back, or choose "
            "another directory and run the suite again"
        )


def check_plan(plan: Any, manifest: Mapping[str, Any], directory: Path) -> None:
    """Raises StoreError unless ``plan`` is the plan that the store was made with.

    Args:
      plan: the content of ``plan.json``.
      manifest: its ``plan_hash``, if it has one, is the content hash of the plan.
      directory: the store, for the message.
    """
    problem = _plan_problem(plan)
    recorded = manifest.get("plan_hash")
    if not problem and recorded is not None and content_hash(plan) != recorded:
        problem = (
            f"its content hash is {_short(content_hash(plan))}, the manifest's plan_hash is "
            f"{_short(recorded)}"
        )
    if problem:
        raise StoreError(
            f"{directory / 'plan.json'} is not the plan that this store was made with: {problem}. "
            "Put the original file back, or choose another directory and run the suite again"
        )


def _plan_problem(plan: Any) -> str:
    if not isinstance(plan, dict):
        return f"it holds a {type(plan).__name__}, not an object with 'cells' and 'shards'"
    for name, keys in (("cells", _CELL_KEYS), ("shards", _SHARD_KEYS)):
        entries = plan.get(name)
        if not isinstance(entries, list):
            return f"it has no list {name!r}"
        for index, entry in enumerate(entries):
            if not isinstance(entry, dict) or not keys <= set(entry):
                return f"{name}[{index}] is no object with {', '.join(sorted(keys))}"
    return ""


def check_same(
    directory: Path,
    *,
    there: tuple[Mapping[str, Any], Mapping[str, Any]],
    asked: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> None:
    """Raises StoreError unless a store is of the suite and protocol that are asked for.

    The message says what differs: fields of the protocol, optimizers, tasks.

    Args:
      directory: the store.
      there: its manifest and its suite.
      asked: those that it would be made with now.
    """
    keys = (lambda m: m["suite"]["hash"], lambda m: m["protocol_hash"])
    if all(key(there[0]) == key(asked[0]) for key in keys):
        return
    found = list(_differences(there, asked))
    if not found:  # an old or hand-made store that does not say more than its hashes
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


def _differences(
    there: tuple[Mapping[str, Any], Mapping[str, Any]],
    asked: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> Iterator[str]:
    fields = [manifest.get("protocol", {}) for manifest, _ in (there, asked)]
    for name in dict.fromkeys([*fields[0], *fields[1]]):
        values = [protocol.get(name) for protocol in fields]
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


def _tasks(suite: Mapping[str, Any]) -> dict[str, str]:
    """Labels of a suite's tasks by hash."""
    found = {}
    for entry in suite.get("tasks", ()):
        spec, digest = entry.get("spec", {}), str(entry.get("hash"))
        found[digest] = str(spec.get("name") or f"{spec.get('family', 'task')}-{digest[:8]}")
    return found


def foreign(
    shard_id: str,
    metadata: Mapping[str, Any],
    *,
    manifest: Mapping[str, Any],
    planned: Mapping[str, Any] | None,
) -> str:
    """Returns why a shard is not one of a store's; empty when it is.

    Args:
      shard_id: its name.
      metadata: what it says about itself.
      manifest: the store's.
      planned: the shard of that name in the store's plan; None if there is none.
    """
    expected = {
        "shard": shard_id,
        "suite_hash": manifest["suite"]["hash"],
        "protocol_hash": manifest["protocol_hash"],
    }
    if manifest.get("plan_hash") is not None:
        expected["plan_hash"] = manifest["plan_hash"]
    for key, value in expected.items():
        if metadata.get(key) != value:
            return f"its {key} is {metadata.get(key)!r}, the store's is {value!r}"
    if planned is None:
        return "the store's plan has no such shard"
    cell = metadata.get("cell", {}).get("id")
    if cell != planned["cell"]:
        return f"its cell is {cell!r}, the plan's is {planned['cell']!r}"
    return ""


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


def _short(digest: object) -> str:
    return str(digest)[:12]
