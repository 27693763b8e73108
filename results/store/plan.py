"""The plan of a question: its cells (a task and an optimizer) with their runs, and their shards.

`suites` makes it and writes it into the store, for those who work on it and those who report it.
`Plan.to_json` gives the JSON that the plan's hash is of, so its keys keep their order.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from velodrome.foundation.canonical import canonical_json, content_hash
from velodrome.foundation.errors import PlanError, SpecError, StoreError
from velodrome.foundation.typed import read_as
from velodrome.results.store.optimizer_ref import OptimizerRef

SCHEMA = 2
KIND = "velodrome-plan"
_HEAD = ("schema", "kind")

#: The mode of lanes that were trained elsewhere.
IMPORTED = "imported"

#: One point of a sweep.
Hyperparameters = Mapping[str, object]

#: A run of a cell: the canonical JSON of its hyperparameters, and its seed.
Run: TypeAlias = tuple[str, int]


@dataclass(frozen=True)
class TaskRef:
    """A task of the suite; ``index`` is its position there, ``hash`` that of its spec."""

    index: int
    label: str
    family: str
    hash: str


@dataclass(frozen=True)
class DataRef:
    """A data set; ``provenance`` is ``"real"``, ``"built-in"``, ``"own"`` or ``"stand-in"``."""

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
        :data:`IMPORTED`: the lanes were trained elsewhere.
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
    """A training run; ``lane`` is its number in the question's cell."""

    lane: int
    seed: int
    hyperparameters: Hyperparameters

    @property
    def run(self) -> Run:
        """What tells it from the other runs of the cell."""
        return canonical_json(dict(self.hyperparameters)), self.seed


@dataclass(frozen=True)
class LaneInfo:
    """A training run in a shard's file.

    Attributes:
      seed: The repetition; optimizers of a suite share their seeds.
      hyperparameters: What the sweep varies, for example ``{"learning_rate": 1e-3}``.
      status: ``"ok"`` or ``"diverged"``.
      diverged_at: The first step whose loss was not finite; None when there is none.
      lane: Number in the file.
    """

    seed: int
    hyperparameters: Hyperparameters = field(default_factory=dict)
    status: str = "ok"
    diverged_at: int | None = None
    lane: int = 0

    @property
    def point(self) -> str:
        """Canonical JSON of the hyperparameters: equal for lanes of one grid point."""
        return canonical_json(dict(self.hyperparameters))

    @property
    def run(self) -> Run:
        """What tells it from the other runs of its cell."""
        return self.point, self.seed


@dataclass(frozen=True)
class PlannedCell:
    """An optimizer on a task, and the runs of it that a question asks for.

    Attributes:
      id: Stands for all that the numbers of a run depend on besides its seed and hyperparameters;
        other runs of the same cell may be in the store.
      horizon: Training steps that are asked for.
      extendable: Whether the optimizer does not know its horizon, so that shorter runs can go on.
      search: What became of the search for the best learning rate, which has added lanes to those
        of the grid: ``"going on"`` (it waits for losses); ``"found"``; ``"edge"``: after the last
        round the best rate is at an edge; ``"limit"``: the last round still gained something.
        Empty: there is none, or no rate makes progress.
      parts: How many parts of a batch go through the network one after the other.
    """

    id: str
    task: TaskRef
    optimizer: OptimizerRef
    horizon: int
    batch_size: int
    data: DataRef
    cost: StepCost
    batching: Batching
    lanes: tuple[Lane, ...]
    extendable: bool = False
    search: str = ""
    parts: int = 1

    @property
    def part_size(self) -> int:
        """Examples of a batch that go through the network together in training."""
        return self.batch_size // self.parts

    def to_json(self) -> dict[str, object]:
        nested = ("task", "optimizer", "data", "cost", "batching")
        # Left out at their defaults: plans without them keep their hashes.
        left_out = (("search", ""), ("parts", 1))
        return {
            **{name: value for name, value in vars(self).items() if (name, value) not in left_out},
            **{name: dict(vars(getattr(self, name))) for name in nested},
            "lanes": [dict(vars(lane)) for lane in self.lanes],
        }


@dataclass(frozen=True)
class Shard:
    """Lanes of a cell that are trained together, from one step to another.

    `mode`, `eval_slice` and `block` are those of the cell's `Batching`.

    Attributes:
      stop: Updates that its lanes have made in the end.
      start: Updates that they have made in the shard ``after``, from whose end they go on.
    """

    id: str
    cell: str
    mode: str
    eval_slice: int
    block: int
    lanes: tuple[Lane, ...]
    stop: int
    start: int = 0
    after: str = ""

    def to_json(self) -> dict[str, object]:
        return {**vars(self), "lanes": [dict(vars(lane)) for lane in self.lanes]}


def shard_id(
    cell: str,
    *,
    mode: str,
    eval_slice: int,
    block: int,
    lanes: Iterable[Lane | LaneInfo],
    stop: int,
    start: int = 0,
) -> str:
    """Return the id of a shard: 16 hexadecimal digits of the hash of what it has, and how."""
    runs = [[lane.seed, dict(lane.hyperparameters)] for lane in lanes]
    return content_hash([cell, mode, eval_slice, block, runs, start, stop])[:16]


@dataclass(frozen=True)
class Plan:
    """What a question asks for, and the shards that answer it, there already or to be trained.

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
            raise PlanError(f"the plan has no cell {cell_id!r}; use the plan of its own store.")
        return self._cells[cell_id]

    def shard(self, shard_id: str) -> Shard:
        """Return the shard with that id, or raise a `PlanError`."""
        if shard_id not in self._shards:
            raise PlanError(f"the plan has no shard {shard_id!r}; use the plan of its own store.")
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
