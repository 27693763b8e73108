"""Stores of the first schema: one question, in ``manifest.json``, ``suite.json``, ``plan.json``.

They are read as if they had been written today. Their cells get ids of today; that a run could be
continued nobody knew then, so every run belongs to its horizon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import StoreError
from velodrome.results.store.identity import cell_id
from velodrome.results.store.json_files import Report, check_schema, read_json
from velodrome.results.store.plan import KIND as PLAN_KIND
from velodrome.results.store.plan import SCHEMA as PLAN_SCHEMA
from velodrome.results.store.question import Question, read_parts

KIND = "velodrome-store"

#: From a cell of the old plan and the protocol: its id of today, and whether runs can be continued.
Identify = Callable[[Mapping[str, Any], Mapping[str, Any]], tuple[str, bool]]


def exists(directory: Path) -> bool:
    return (directory / "manifest.json").is_file()


def read(
    directory: Path, *, report: Report | None, identify: Identify | None = None
) -> tuple[Question, dict[str, str]]:
    """Return the question of an old store, and the ids of its cells by their old ids.

    Raises:
      StoreError: It is damaged or has another schema, or its plan is not the one that it had.
    """
    path = directory / "manifest.json"
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise StoreError(f"{path} does not belong to a velodrome store")
    check_schema(manifest.get("schema"), what=f"the store {directory}")
    plan, protocol = read_json(directory / "plan.json"), manifest.get("protocol")
    recorded = manifest.get("plan_hash")
    if recorded is not None and content_hash(plan) != recorded:
        raise StoreError(f"{directory / 'plan.json'} is not the plan that this store was made with")
    aliases: dict[str, str] = {}
    try:
        if not isinstance(plan, dict) or (plan["schema"], plan["kind"]) != (1, PLAN_KIND):
            raise ValueError("another kind or schema")
        upgraded = _upgraded(plan, protocol or {}, identify or _bound, aliases)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{directory / 'plan.json'} is damaged: {error}") from error
    content = {
        "manifest": {**manifest, "plan_hash": None},
        "suite": read_json(directory / "suite.json"),
        "plan": upgraded,
    }
    return read_parts(path, content, report=report), aliases


def _upgraded(
    plan: Mapping[str, Any],
    protocol: Mapping[str, Any],
    identify: Identify,
    aliases: dict[str, str],
) -> dict[str, Any]:
    lanes: dict[str, list[Mapping[str, Any]]] = {}
    for shard in plan["shards"]:
        lanes.setdefault(shard["cell"], []).extend(shard["lanes"])
    cells, horizons = [], {}
    for cell in plan["cells"]:
        known, extendable = identify(cell, protocol)
        aliases[cell["id"]], horizons[cell["id"]] = known, cell["horizon"]
        mine = sorted(lanes.get(cell["id"], []), key=lambda lane: lane["lane"])
        cells.append({**cell, "id": known, "extendable": extendable, "lanes": mine})
    shards = [
        {**shard, "cell": aliases[shard["cell"]], "stop": horizons[shard["cell"]]}
        for shard in plan["shards"]
    ]
    return {**plan, "schema": PLAN_SCHEMA, "cells": cells, "shards": shards}


def _bound(cell: Mapping[str, Any], protocol: Mapping[str, Any]) -> tuple[str, bool]:
    optimizer = cell["optimizer"]
    known = cell_id(
        task=cell["task"]["hash"],
        data=cell["data"]["content_hash"],
        optimizer=(optimizer["name"], optimizer["version"], optimizer["identity"]),
        protocol=protocol,
        horizon=cell["horizon"],
    )
    return known, False
