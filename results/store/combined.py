"""Several stores of one suite read as one: more optimizers, or more seeds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from velodrome.foundation.canonical import canonical_json, content_hash
from velodrome.foundation.errors import StoreError
from velodrome.foundation.files import resolved
from velodrome.results.store.cell import Cell, ShardRecord
from velodrome.results.store.curves import Curves, LaneInfo
from velodrome.results.store.json_files import Problem
from velodrome.results.store.plan import Plan
from velodrome.results.store.provenance import KEY, joined_costs
from velodrome.results.store.records import Failure, Manifest, Timing
from velodrome.results.store.store import Store

T = TypeVar("T")

#: Fields of the protocol in which stores of one report may differ.
_FREE = ("seeds",)


def open_stores(directories: Sequence[str | os.PathLike[str]]) -> Store:
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
    stores = [Store.open(path, read_only=True) for path in paths]
    return stores[0] if len(stores) == 1 else CombinedStore(stores)


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


class CombinedStore(Store):
    """Stores of the same tasks and protocol, for reading.

    Cells with the same task, optimizer (version and weights too) and horizon become one cell with
    the runs of all stores. A run that is in several stores must have the same losses in each.
    Where manifests differ, the first store's counts; each shard has its own metadata.
    """

    def __init__(self, stores: Sequence[Store]) -> None:
        for store in stores[1:]:
            check_same_question(stores[0], store)
        self._stores = tuple(stores)
        self._ids: dict[tuple[str, ...], str] = {}
        for store in stores:
            for cell in store.cells():
                self._ids.setdefault(_key(cell), cell.id)
        super().__init__(
            stores[0].directory,
            manifest=_manifest(stores),
            plan=self._joined_plan(),
            suite=stores[0].suite,
            read_only=True,
        )

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(problem for store in self._stores for problem in store.problems)

    def shards(self) -> tuple[ShardRecord, ...]:
        return tuple(shard for store in self._stores for shard in store.shards())

    def cells(self) -> Iterator[Cell]:
        """Yield the cells of all stores, by task; optimizers come in the order of the stores."""
        found: dict[tuple[str, ...], list[Cell]] = {}
        for store in self._stores:
            for cell in store.cells():
                found.setdefault(_key(cell), []).append(cell)
        order = list(_tasks(self._stores[0]))
        for cells in sorted(found.values(), key=lambda c: order.index(c[0].task.hash)):
            yield cells[0] if len(cells) == 1 else _merged(cells)

    @property
    def timings(self) -> dict[str, Timing]:
        """Timing records by cell id; of a cell that several stores have timed, the first one's."""
        return self._records(lambda store: store.timings)

    @property
    def timing_failures(self) -> dict[str, Failure]:
        """Why cells could not be timed that no store has timed."""
        timed = self.timings
        found = self._records(lambda store: store.timing_failures)
        return {cell: record for cell, record in found.items() if cell not in timed}

    @property
    def failures(self) -> dict[str, Failure]:
        """Failure records by shard id, for shards that no store has."""
        run = {shard.id for shard in self.shards()}
        found = {k: v for store in reversed(self._stores) for k, v in store.failures.items()}
        return {shard: record for shard, record in found.items() if shard not in run}

    def _records(self, records_of: Callable[[Store], dict[str, T]]) -> dict[str, T]:
        found: dict[str, T] = {}
        for store in self._stores:
            keys = {cell.id: _key(cell) for cell in store.cells()}
            for cell, record in records_of(store).items():
                if cell in keys:
                    found.setdefault(self._ids[keys[cell]], record)
        return found

    def _joined_plan(self) -> Plan:
        chosen = set(self._ids.values())
        cells = {c.id: c for store in self._stores for c in store.plan.cells if c.id in chosen}
        shards = {shard.id: shard for store in self._stores for shard in store.plan.shards}
        first = self._stores[0].plan
        return replace(first, cells=tuple(cells.values()), shards=tuple(shards.values()))


class _MergedCell(Cell):
    """A cell whose runs come from several stores."""

    def curves(self, *, split: str = "train", metric: str = "loss") -> Curves:
        """Read the curves; a run that several stores have is read once.

        Raises:
          StoreError: A run has different losses in two stores.
        """
        found = super().curves(split=split, metric=metric)
        first: dict[tuple[str, int], int] = {}
        for row, lane in enumerate(found.lanes):
            kept = first.setdefault((lane.point, lane.seed), row)
            if not np.array_equal(found.values[kept], found.values[row], equal_nan=True):
                self._refuse(lane, found.steps, found.values[[kept, row]])
        rows = list(first.values())
        lanes = tuple(found.lanes[row] for row in rows)
        return Curves(found.steps, found.values[rows], lanes, split=split, metric=metric)

    def _refuse(self, lane: LaneInfo, steps: np.ndarray, values: np.ndarray) -> None:
        at = int(np.flatnonzero(values[0] != values[1])[0])
        stores = sorted({str(shard.path.parents[1]) for shard in self.shards})
        raise StoreError(
            f"{' and '.join(stores)} both have {self.label} on {self.task.label} with seed "
            f"{lane.seed} and hyperparameters {lane.point}, and the losses differ "
            f"({values[0, at]:.9g} and {values[1, at]:.9g} at step {steps[at]}): a report holds "
            "each run once. Run the other optimizers alone (`velodrome run --optimizers NAME`), "
            "or see `velodrome compare` for what differs"
        )


def _merged(cells: Sequence[Cell]) -> Cell:
    planned: dict[tuple[str, int], LaneInfo] = {}
    for cell in cells:
        for lane in cell.planned:
            planned.setdefault((lane.point, lane.seed), lane)
    report = {shard.path.parents[1]: cell.report for cell in cells for shard in cell.shards}

    def to_its_store(path: Path, error: StoreError) -> None:
        mine = report.get(path.parents[1])
        if mine is not None:
            mine(path, error)

    first = cells[0]
    return _MergedCell(
        id=first.id,
        task=first.task,
        optimizer=first.optimizer,
        horizon=first.horizon,
        data=first.data,
        planned=tuple(planned.values()),
        shards=tuple(shard for cell in cells for shard in cell.shards),
        failures=tuple(failure for cell in cells for failure in cell.failures),
        report=to_its_store,
    )


def _key(cell: Cell) -> tuple[str, ...]:
    optimizer = cell.optimizer
    identity = canonical_json(dict(optimizer.identity))
    return cell.task.hash, cell.name, str(optimizer.version), identity, str(cell.horizon)


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
    kinds = {kind for m in manifests for kind in (m.get("data") or "").split("+") if kind}
    return {
        **first,
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
