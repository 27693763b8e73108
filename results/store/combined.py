"""Several stores of one suite read as one: more optimizers, or more seeds."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import StoreError
from velodrome.foundation.files import resolved
from velodrome.results.store.json_files import Problem
from velodrome.results.store.plan import Lane, Plan, PlannedCell
from velodrome.results.store.provenance import KEY, joined_costs
from velodrome.results.store.question import Question
from velodrome.results.store.records import Failure, Manifest, Timing
from velodrome.results.store.selection import Selection
from velodrome.results.store.shard import ShardRecord
from velodrome.results.store.store import Store

T = TypeVar("T")

#: Fields of the protocol in which stores of one report may differ.
_FREE = ("seeds", "grids", "refine")


def open_stores(
    directories: Sequence[str | os.PathLike[str]], select: Selection | None = None
) -> Store:
    """Open one store, or several as one, for reading.

    Raises:
      StoreError: None is named, one is named twice or is not readable, or they differ in tasks or
        protocol.
    """
    paths = [resolved(directory) for directory in directories]
    if not paths:
        raise StoreError("no store is named: give the directory that `velodrome run --out` filled")
    for place, path in enumerate(paths):
        if path.resolve() in [other.resolve() for other in paths[:place]]:
            raise StoreError(f"{path} is named twice: name each store once")
    select = select or Selection()
    return as_one([select.open(path) for path in paths])


def as_one(stores: Sequence[Store]) -> Store:
    """Return one store, or several as one, for reading.

    Raises:
      StoreError: They differ in tasks or protocol.
    """
    return stores[0] if len(stores) == 1 else _Stores(stores)


def check_same_question(first: Store, other: Store) -> None:
    """Raise a `StoreError` unless two stores have the same tasks and protocol, seeds apart."""
    here, there = (_tasks(store) for store in (first, other))
    if list(here) != list(there):
        only = [label for digest, label in there.items() if digest not in here]
        only += [label for digest, label in here.items() if digest not in there]
        what = f"tasks that only one has: {', '.join(only[:3])}" if only else "their order"
        raise StoreError(
            f"{first.directory} and {other.directory} are not of the same tasks ({what}): give "
            "stores of one suite"
        )
    protocols = [dict(store.manifest.get("protocol", {})) for store in (first, other)]
    for name in sorted({*protocols[0], *protocols[1]} - {*_FREE}):
        values = [protocol.get(name) for protocol in protocols]
        if values[0] != values[1]:
            raise StoreError(
                f"{first.directory} and {other.directory} were run under different protocols: "
                f"{name} is {values[0]} and {values[1]}. Numbers compare under one protocol only"
            )


class _Stores(Store):
    """Stores of the same tasks and protocol, for reading: the runs of all.

    A run that is in several must have the same losses in each. Where manifests differ, the first
    store's counts; each shard has its own metadata.
    """

    def __init__(self, stores: Sequence[Store]) -> None:
        first = stores[0]
        for store in stores[1:]:
            check_same_question(first, store)
        self._stores = tuple(stores)
        asked = Question(first.directory, _manifest(stores), first.suite, _plan(stores))
        super().__init__(first.directory, asked, read_only=True)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(problem for store in self._stores for problem in store.problems)

    def shards(self) -> tuple[ShardRecord, ...]:
        return tuple(shard for store in self._stores for shard in store.shards())

    def record(self, shard_id: str) -> ShardRecord | None:
        return next(filter(None, (store.record(shard_id) for store in self._stores)), None)

    @property
    def timings(self) -> dict[str, Timing]:
        """Timing records by cell id; of a cell that several stores have timed, the first one's."""
        return self._all(lambda store: store.timings)

    @property
    def timing_failures(self) -> dict[str, Failure]:
        """Why cells could not be timed that no store has timed."""
        timed, found = self.timings, self._all(lambda store: store.timing_failures)
        return {cell: record for cell, record in found.items() if cell not in timed}

    @property
    def failures(self) -> dict[str, Failure]:
        """Failure records by shard id, for shards that no store has."""
        found = self._all(lambda store: store.failures)
        return {shard: record for shard, record in found.items() if not self.has_shard(shard)}

    def _all(self, records_of: Callable[[Store], dict[str, T]]) -> dict[str, T]:
        return {k: v for store in reversed(self._stores) for k, v in records_of(store).items()}


def _plan(stores: Sequence[Store]) -> Plan:
    """Return the cells of all stores, by task; optimizers come in the order of the stores."""
    cells: dict[str, PlannedCell] = {}
    for store in stores:
        for cell in store.plan.cells:
            before = cells.setdefault(cell.id, cell)
            runs = {lane.run: lane for lane in (*cell.lanes, *before.lanes)}
            lanes = (Lane(at, x.seed, x.hyperparameters) for at, x in enumerate(runs.values()))
            if len(runs) > len(before.lanes):
                cells[cell.id] = replace(before, lanes=tuple(lanes))
    order = list(_tasks(stores[0]))
    shards = {shard.id: shard for store in stores for shard in store.plan.shards}
    return replace(
        stores[0].plan,
        cells=tuple(sorted(cells.values(), key=lambda cell: order.index(cell.task.hash))),
        shards=tuple(shards.values()),
    )


def _has_baseline(store: Store) -> bool:
    return any(cell.optimizer.name == store.baseline for cell in store.plan.cells)


def _tasks(store: Store) -> dict[str, str]:
    return {cell.task.hash: cell.task.label for cell in store.plan.cells}


def _manifest(stores: Sequence[Store]) -> Manifest:
    first = stores[0].manifest
    manifests = [store.manifest for store in stores]

    def joined(texts: Sequence[object], between: str) -> str:
        return between.join(dict.fromkeys(str(text) for text in texts if text))

    def hashed(digests: list[str]) -> str:
        return digests[0] if len(set(digests)) == 1 else content_hash(sorted(set(digests)))

    seeds = max(m.get("protocol", {}).get("seeds", 0) for m in manifests)
    # The runs of all count, so those of a sweep that stopped do too. A store without the baseline
    # says nothing of its sweep.
    swept = [store for store in stores if _has_baseline(store)] or stores
    modes = [store.baseline_mode for store in swept]
    mode = max(modes, key=lambda mode: (mode.staged, mode.rates > 0, -mode.rates))
    kinds = {kind for m in manifests for kind in (m.get("data") or "").split("+") if kind}
    return {
        **first,
        "baseline_mode": str(mode),
        "suite": {
            "name": joined([m["suite"].get("name") for m in manifests], " + "),
            "hash": hashed([m["suite"]["hash"] for m in manifests]),
        },
        "protocol": {**first.get("protocol", {}), "seeds": seeds},
        "protocol_hash": hashed([m["protocol_hash"] for m in manifests]),
        "plan_hash": joined([m.get("plan_hash") for m in manifests], ", "),
        "command": joined([m.get("command") for m in manifests], "; "),
        "created": joined([m.get("created") for m in manifests], ", "),
        "data": "+".join(sorted(kinds)),
        KEY: joined_costs(manifests),
    }
