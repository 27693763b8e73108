"""From a suite to a plan: cells (task x optimizer at one horizon), and shards (lanes of a cell).

A plan is plain JSON. It is made once, written into the store, and used again by every run that
goes on with that store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import DataError, PlanError
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.suites.planning.batching import choose, rule
from velodrome.suites.protocol import Protocol
from velodrome.suites.suite import Suite
from velodrome.taskgen import description
from velodrome.taskgen.data.published.prepared import missing
from velodrome.taskgen.data.published.recipes import how_to_get
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.spec import TaskSpec

SCHEMA = 1
KIND = "velodrome-plan"

#: A plan as plain JSON.
Plan = Mapping[str, Any]


def make_plan(suite: Suite, *, backend: str = "cpu", without_data: bool = False) -> Plan:
    """Returns the plan of a suite; a pure function of the suite, the registries and ``backend``.

    Args:
      suite: What is asked.
      backend: ``"cpu"``, ``"gpu"`` or ``"tpu"``: the batching depends on it.
      without_data: Whether published data that are not prepared may be missing: for looking at
        the plan only, as the cells of such data have no content hash and other ids later.

    Raises:
      UnknownNameError: An optimizer, family or data set is not registered.
      PlanError: Nothing to run, or a cell that exists twice.
      DataError: A data set has no content hash, so that results could not say what they are of.
    """
    protocol = suite.protocol
    specs = {name: optimizers.get(name) for name in suite.optimizers}
    cells, shards = [], []
    for index, task in enumerate(suite.tasks):
        data = _data(task, without_data=without_data)
        cost = description.cost(task)
        for name, optimizer in specs.items():
            points = grid_points(optimizer, protocol)
            horizon = protocol.horizon(name)
            batching = choose(
                cost,
                batch_size=task.batch_size,
                horizon=horizon,
                seeds=protocol.seeds,
                points=len(points),
                eval_examples=protocol.examples(task.batch_size),
                backend=backend,
            )
            cell = {
                "id": cell_id(task, data, optimizer, points, protocol, horizon),
                "task": {
                    "index": index,
                    "label": task.label,
                    "family": task.family,
                    "hash": task.hash,
                },
                # The name as asked for: workers look the optimizer up under it.
                "optimizer": {
                    "name": name,
                    "label": optimizer.label,
                    "version": optimizer.version,
                    "identity": dict(optimizer.identity),
                },
                "horizon": horizon,
                "batch_size": task.batch_size,
                "data": data,
                "cost": cost.to_json(),
                "batching": batching.to_json(),
            }
            cells.append(cell)
            shards.extend(_shards(cell, points, optimizer, protocol.seeds))
    plan = {
        "schema": SCHEMA,
        "kind": KIND,
        "suite_hash": suite.hash,
        "protocol_hash": protocol.hash,
        "rule": rule(backend),
        "cells": cells,
        "shards": shards,
    }
    _refuse_twins(cells, "cell")
    _refuse_twins(shards, "shard")
    return plan


def grid_points(optimizer: OptimizerSpec, protocol: Protocol) -> list[dict[str, Any]]:
    """Returns the points of an optimizer's sweep under ``protocol``, in order."""
    points = optimizer.points
    if protocol.learning_rates is None or "learning_rate" not in optimizer.grid:
        return points
    rest: list[dict[str, Any]] = []
    for point in points:
        others = {name: value for name, value in point.items() if name != "learning_rate"}
        if others not in rest:
            rest.append(others)
    return [
        {name: (rate if name == "learning_rate" else others[name]) for name in optimizer.grid}
        for others in rest
        for rate in protocol.learning_rates
    ]


def cell_id(
    task: TaskSpec,
    data: Mapping[str, Any],
    optimizer: OptimizerSpec,
    points: Sequence[Mapping[str, Any]],
    protocol: Protocol,
    horizon: int,
) -> str:
    """Returns 16 hexadecimal digits that stand for everything the cell's numbers depend on."""
    identity = {
        "task": task.hash,
        "data": data["content_hash"],
        "optimizer": {
            "name": optimizer.name,
            "version": optimizer.version,
            "identity": dict(optimizer.identity),
            "points": [dict(point) for point in points],
        },
        "protocol": protocol.to_json(),
        "horizon": horizon,
    }
    return content_hash(identity)[:16]


def shards_of(plan: Plan, cell: str) -> list[dict[str, Any]]:
    """Returns the shards of the cell with that id, in the plan's order."""
    return [shard for shard in plan["shards"] if shard["cell"] == cell]


def find_shard(plan: Plan, shard_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the shard with that id and its cell.

    Raises:
      PlanError: The plan has no such shard.
    """
    for shard in plan["shards"]:
        if shard["id"] == shard_id:
            return shard, find_cell(plan, shard["cell"])
    raise PlanError(f"the plan has no shard {shard_id!r}; use the plan.json of its own store.")


def find_cell(plan: Plan, cell: str) -> dict[str, Any]:
    """Returns the cell with that id.

    Raises:
      PlanError: The plan has no such cell.
    """
    for found in plan["cells"]:
        if found["id"] == cell:
            return found
    raise PlanError(f"the plan has no cell {cell!r}; use the plan.json of its own store.")


def _shards(
    cell: Mapping[str, Any], points: list[dict[str, Any]], optimizer: OptimizerSpec, seeds: int
) -> Iterator[dict[str, Any]]:
    batching = cell["batching"]
    for first_seed in range(0, seeds, batching["seeds"]):
        some_seeds = range(first_seed, min(seeds, first_seed + batching["seeds"]))
        for group in _groups(points, optimizer, batching):
            lanes = [
                {"lane": seed * len(points) + at, "seed": seed, "hyperparameters": points[at]}
                for seed in some_seeds
                for at in group
            ]
            body = {
                "cell": cell["id"],
                "mode": batching["mode"],
                "eval_slice": batching["eval_slice"],
                "block": batching["block"],
                "lanes": lanes,
            }
            yield {"id": content_hash(body)[:16], **body}


def _groups(
    points: list[dict[str, Any]], optimizer: OptimizerSpec, batching: Mapping[str, Any]
) -> Iterator[list[int]]:
    """Splits grid points, by position; points of a ``vmap`` shard share one compiled program."""
    programs: dict[str, list[int]] = {}
    for at, point in enumerate(points):
        static = {name: value for name, value in point.items() if name in optimizer.static}
        key = content_hash(static) if batching["mode"] == "vmap" else ""
        programs.setdefault(key, []).append(at)
    for members in programs.values():
        for start in range(0, len(members), batching["points"]):
            yield members[start : start + batching["points"]]


def missing_data(plan: Plan) -> dict[str, int]:
    """Returns the data sets of a plan that are not here, and how many of its tasks need each."""
    tasks: dict[str, set[str]] = {}
    for cell in plan["cells"]:
        if not cell["data"]["content_hash"]:
            tasks.setdefault(cell["data"]["name"], set()).add(cell["task"]["hash"])
    return {name: len(hashes) for name, hashes in sorted(tasks.items())}


def _data(task: TaskSpec, *, without_data: bool) -> dict[str, Any]:
    info = datasets.get(task.data.name).info
    published = bool(how_to_get(info.name))
    if not info.content_hash and published and not without_data:
        raise missing(info, "train")
    if not info.content_hash and not published:
        raise DataError(
            f"the data set {info.name!r} of task {task.label} has no content hash, so results on "
            "it could not be told from results on other data. Use a built-in data set "
            "(`velodrome list datasets`), or register one with a content hash."
        )
    return {
        "name": info.name,
        "content_hash": info.content_hash,
        "provenance": info.provenance,
    }


def _refuse_twins(entries: Sequence[Mapping[str, Any]], what: str) -> None:
    seen = set()
    for entry in entries:
        if entry["id"] in seen:
            raise PlanError(
                f"the {what} {entry['id']} is in the plan twice: two optimizers of the suite are "
                "the same; leave one out."
            )
        seen.add(entry["id"])
