"""The plan of a store: its cells (a task and an optimizer at one horizon) and their shards.

`suites` makes a plan once and writes it into the store; every later run and every report reads it
back. `Plan.to_json` gives the JSON that the plan's hash is of, so its keys keep their order.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import PlanError, SpecError, StoreError
from velodrome.foundation.typed import read_as

SCHEMA = 1
KIND = "velodrome-plan"
_HEAD = ("schema", "kind")

#: One point of a sweep.
Hyperparameters = Mapping[str, object]


@dataclass(frozen=True)
class TaskRef:
    """A task of the suite; ``index`` is its position there, ``hash`` that of its spec."""

    index: int
    label: str
    family: str
    hash: str


@dataclass(frozen=True)
class OptimizerRef:
    """An optimizer: the name that it was asked for under, and what its numbers depend on.

    Attributes:
      identity: What its numbers depend on besides name and version, such as a hash of weights.
    """

    name: str
    label: str
    version: int = 1
    identity: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class DataRef:
    """A data set; ``provenance`` is ``"real"``, ``"built-in"`` or ``"stand-in"``."""

    name: str
    content_hash: str
    provenance: str


@dataclass(frozen=True)
class StepCost:
    """The predicted cost of a training step, as `velodrome.taskgen.cost.sheet.Cost` defines it."""

    flops: int
    bytes: int
    params: int
    activation_bytes: int
    eval_flops_per_example: int
    kernels: int
    memory_bytes: int


@dataclass(frozen=True)
class Batching:
    """How the lanes of a cell are grouped and run.

    Attributes:
      mode: ``"sequential"``: one program of one lane, called for each lane in turn, so that a
        lane's numbers do not depend on its neighbours. ``"vmap"``: one program for all lanes.
      seeds: Seeds in a shard.
      points: Grid points in a shard.
      eval_slice: Examples that an evaluation looks at together; 0 is all of them.
      block: Steps in one call of the program; 0 is all from one evaluation to the next.
    """

    mode: str
    seeds: int
    points: int
    eval_slice: int = 0
    block: int = 0


@dataclass(frozen=True)
class Lane:
    """A training run; ``lane`` is its number in the cell."""

    lane: int
    seed: int
    hyperparameters: Hyperparameters


@dataclass(frozen=True)
class PlannedCell:
    """An optimizer on a task at one horizon, as planned."""

    id: str
    task: TaskRef
    optimizer: OptimizerRef
    horizon: int
    batch_size: int
    data: DataRef
    cost: StepCost
    batching: Batching

    def to_json(self) -> dict[str, object]:
        nested = ("task", "optimizer", "data", "cost", "batching")
        return {**vars(self), **{name: dict(vars(getattr(self, name))) for name in nested}}


@dataclass(frozen=True)
class Shard:
    """Lanes of a cell that are trained together and stored in one file.

    `mode`, `eval_slice` and `block` are those of the cell's `Batching`.
    """

    id: str
    cell: str
    mode: str
    eval_slice: int
    block: int
    lanes: tuple[Lane, ...]

    def to_json(self) -> dict[str, object]:
        return {**vars(self), "lanes": [dict(vars(lane)) for lane in self.lanes]}


@dataclass(frozen=True)
class Plan:
    """Everything that a store is to hold.

    Attributes:
      rule: Version and constants of the rule that grouped the lanes, and the ``backend`` that it
        was for.
      cells: Task by task, in the suite's order of optimizers.
      shards: Cell by cell.
    """

    suite_hash: str
    protocol_hash: str
    rule: Mapping[str, object]
    cells: tuple[PlannedCell, ...]
    shards: tuple[Shard, ...]

    @property
    def backend(self) -> str:
        return str(self.rule["backend"])

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, as the manifest and every shard record it."""
        return content_hash(self.to_json())

    @functools.cached_property
    def _cells(self) -> dict[str, PlannedCell]:
        return {cell.id: cell for cell in self.cells}

    @functools.cached_property
    def _shards(self) -> dict[str, Shard]:
        return {shard.id: shard for shard in self.shards}

    def cell(self, cell_id: str) -> PlannedCell:
        """Return the cell with that id, or raise a `PlanError`."""
        if cell_id not in self._cells:
            raise PlanError(
                f"the plan has no cell {cell_id!r}; use the plan.json of its own store."
            )
        return self._cells[cell_id]

    def shard(self, shard_id: str) -> Shard:
        """Return the shard with that id, or raise a `PlanError`."""
        if shard_id not in self._shards:
            raise PlanError(
                f"the plan has no shard {shard_id!r}; use the plan.json of its own store."
            )
        return self._shards[shard_id]

    def has_shard(self, shard_id: str) -> bool:
        return shard_id in self._shards

    def shards_of(self, cell_id: str) -> list[Shard]:
        return [shard for shard in self.shards if shard.cell == cell_id]

    def to_json(self) -> dict[str, object]:
        return {
            "schema": SCHEMA,
            "kind": KIND,
            "suite_hash": self.suite_hash,
            "protocol_hash": self.protocol_hash,
            "rule": dict(self.rule),
            "cells": [cell.to_json() for cell in self.cells],
            "shards": [shard.to_json() for shard in self.shards],
        }

    @classmethod
    def from_json(cls, content: object) -> Plan:
        """Read what `to_json` wrote.

        Raises:
          StoreError: It is no plan, of another schema, or lacks something; the message starts in
            lower case and is meant to follow the name of the file.
        """
        if not isinstance(content, Mapping) or content.get("kind") != KIND:
            raise StoreError(f"it holds no object of the kind {KIND!r}")
        if content.get("schema") != SCHEMA:
            raise StoreError(
                f"it has schema {content.get('schema')!r}, and this version reads schema {SCHEMA}"
            )
        try:
            return read_as(cls, {k: v for k, v in content.items() if k not in _HEAD}, "")
        except SpecError as error:
            raise StoreError(str(error).rstrip(".")) from error
