"""Plans for stores that are made by hand: whatever a test does not care about is filled in."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from velodrome.foundation.canonical import content_hash
from velodrome.results.store.plan import KIND, SCHEMA, Lane, Plan, Shard

_CELL = {
    "batch_size": 1,
    "data": {"name": "none", "content_hash": "0", "provenance": "built-in"},
    "cost": {
        "flops": 1, "bytes": 1, "params": 1, "activation_bytes": 1, "eval_flops_per_example": 1,
        "kernels": 1, "memory_bytes": 1,
    },
    "batching": {"mode": "sequential", "seeds": 1, "points": 1, "eval_slice": 0, "block": 0},
}  # fmt: skip
_OPTIMIZER = {"version": 1, "identity": {}}
_SHARD = {"mode": "sequential", "eval_slice": 0, "block": 0}


def plan_json(
    cells: Sequence[Mapping[str, Any]], shards: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Completes cells (``id``, ``task``, ``optimizer``, ``horizon``) and shards to a plan."""
    horizons = {cell["id"]: cell["horizon"] for cell in cells}
    lanes = {cell["id"]: [] for cell in cells}
    for shard in shards:
        lanes[shard["cell"]] += shard["lanes"]
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "suite_hash": "s",
        "protocol_hash": "p",
        "rule": {"version": 3, "backend": "cpu"},
        "cells": [
            {
                **_CELL, "lanes": lanes[cell["id"]], **cell,
                "optimizer": {**_OPTIMIZER, **cell["optimizer"]},
            }
            for cell in cells
        ],
        "shards": [{**_SHARD, "stop": horizons[shard["cell"]], **shard} for shard in shards],
    }  # fmt: skip


def plan_of(cells: Sequence[Mapping[str, Any]], shards: Sequence[Mapping[str, Any]]) -> Plan:
    return Plan.from_json(plan_json(cells, shards))


def with_shard(plan: Plan, cell: str, *, seed: int) -> Plan:
    """Return the plan with one more shard, which has one run."""
    lane = Lane(99, seed, {})
    horizon = plan.cell(cell).horizon
    cells = tuple(
        replace(one, lanes=(*one.lanes, lane)) if one.id == cell else one for one in plan.cells
    )
    shard = Shard("extra", cell, "sequential", 0, 0, (lane,), horizon)
    return replace(plan, cells=cells, shards=(*plan.shards, shard))


def question_of(directory: Path) -> Path:
    """Return the file of the only question of a store."""
    (path,) = (directory / "questions").iterdir()
    return path


def rewrite(directory: Path, part: str, **fields: object) -> Path:
    """Change fields of ``manifest``, ``suite`` or ``plan`` in the only question of a store."""
    path = question_of(directory)
    content = json.loads(path.read_text())
    content[part] = {**content[part], **fields}
    path.write_text(json.dumps(content))
    return path


@contextlib.contextmanager
def edited_plan(directory: Path) -> Iterator[dict[str, Any]]:
    """Yield the plan of the only question of a store, to be changed."""
    path = question_of(directory)
    content = json.loads(path.read_text())
    yield content["plan"]
    content["manifest"]["plan_hash"] = None
    path.write_text(json.dumps(content))


def as_legacy(directory: Path) -> None:
    """Turn a store into one of the schema before questions."""
    path = question_of(directory)
    content = json.loads(path.read_text())
    plan, manifest = content["plan"], content["manifest"]
    plan["schema"] = 1
    for cell in plan["cells"]:
        del cell["lanes"], cell["extendable"]
    for shard in plan["shards"]:
        del shard["stop"], shard["start"], shard["after"]
    manifest |= {"schema": 1, "kind": "velodrome-store", "plan_hash": content_hash(plan)}
    for name, part in (("manifest", manifest), ("plan", plan), ("suite", content["suite"])):
        (directory / f"{name}.json").write_text(json.dumps(part))
    path.unlink()
    path.parent.rmdir()
