"""Plans for stores that are made by hand: whatever a test does not care about is filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

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
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "suite_hash": "s",
        "protocol_hash": "p",
        "rule": {"version": 3, "backend": "cpu"},
        "cells": [
            {**_CELL, **cell, "optimizer": {**_OPTIMIZER, **cell["optimizer"]}} for cell in cells
        ],
        "shards": [{**_SHARD, **shard} for shard in shards],
    }


def plan_of(cells: Sequence[Mapping[str, Any]], shards: Sequence[Mapping[str, Any]]) -> Plan:
    return Plan.from_json(plan_json(cells, shards))


def with_shard(plan: Plan, cell: str, *, seed: int) -> Plan:
    """Return the plan with one more shard, which has one run."""
    shard = Shard("extra", cell, "sequential", 0, 0, (Lane(99, seed, {}),))
    return replace(plan, shards=(*plan.shards, shard))
