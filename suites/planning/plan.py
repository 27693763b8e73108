"""Make the plan of a suite: cells (a task and an optimizer), their runs, and their shards."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from velodrome.foundation.errors import PlanError, SpecError
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.results.store.identity import cell_id
from velodrome.results.store.optimizer_ref import OptimizerRef
from velodrome.results.store.plan import (
    IMPORTED,
    Batching,
    DataRef,
    Lane,
    Plan,
    PlannedCell,
    StepCost,
    TaskRef,
)
from velodrome.suites.planning.batching import choose, rule
from velodrome.suites.planning.shards import with_shards
from velodrome.suites.protocol import Protocol
from velodrome.suites.suite import Suite
from velodrome.taskgen import description
from velodrome.taskgen.data.published.prepared import missing
from velodrome.taskgen.data.published.recipes import how_to_get
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.verify import hash_problem, verify
from velodrome.taskgen.spec import TaskSpec


@dataclass(frozen=True)
class LoadedSuite:
    """A suite with its optimizers as they were loaded: once for everything that a run does."""

    suite: Suite
    optimizers: Mapping[str, OptimizerSpec]

    @classmethod
    def of(cls, suite: Suite) -> LoadedSuite:
        """Load the optimizers, each with the grid that the protocol gives it.

        Raises:
          SpecError: A grid has a hyperparameter that its optimizer lacks, or a wrong value.
        """
        loaded = {name: optimizers.get(name) for name in suite.optimizers}
        return cls(suite, {n: swept(n, spec, suite.protocol) for n, spec in loaded.items()})


def swept(name: str, optimizer: OptimizerSpec, protocol: Protocol) -> OptimizerSpec:
    """Return an optimizer, and the name that it was asked for under, with the protocol's grid.

    Raises:
      SpecError: It lacks a hyperparameter of its grid, or refuses a value.
    """
    rates = protocol.learning_rates if "learning_rate" in optimizer.grid else None
    values = {} if rates is None else {"learning_rate": rates}
    asked = protocol.grids.get(name, {})
    found = optimizer.with_grid({**values, **asked})
    # In a run, traced values have no number to check: a wrong one would be an error or NaN there.
    for key, given in asked.items():
        for value in given:
            try:
                found.make({**found.points[0], key: value}, num_steps=protocol.steps)
            except ValueError as error:
                allowed = error.allowed if isinstance(error, SpecError) else f"other ({error})"
                raise SpecError(f"grid of {name}: {key}", value, allowed) from error
    return found


def make_plan(
    suite: Suite | LoadedSuite,
    *,
    backend: str = "cpu",
    without_data: bool = False,
    alone: bool = False,
) -> Plan:
    """Return the plan of a suite for an empty store.

    It is a pure function of the suite, the registries and ``backend``.

    Args:
      backend: ``"cpu"``, ``"gpu"`` or ``"tpu"``: the batching depends on it.
      without_data: Whether published data that are not prepared may be missing. Such a plan is
        only for looking at: the cells of such data have no content hash, and other ids later.
      alone: Whether each run is a shard by itself, because several devices train it together.

    Raises:
      UnknownNameError: An optimizer, family or data set is not registered.
      PlanError: A cell exists twice.
      DataError: A data set has no content hash, so that results could not name their data; the
        message has the hash to declare.
    """
    loaded = suite if isinstance(suite, LoadedSuite) else LoadedSuite.of(suite)
    suite, protocol = loaded.suite, loaded.suite.protocol
    cells: list[PlannedCell] = []
    for index, task in enumerate(suite.tasks):
        data = _data(task, without_data=without_data)
        cost = description.cost(task)
        for name, optimizer in loaded.optimizers.items():
            points = optimizer.points
            horizon = protocol.horizon(name)
            known, extendable = identify(task, data, optimizer, protocol, horizon)
            cell = PlannedCell(
                id=known,
                task=TaskRef(index, task.label, task.family, task.hash),
                # The name as asked for: workers look the optimizer up under it.
                optimizer=OptimizerRef(
                    name, optimizer.label, optimizer.version, dict(optimizer.identity)
                ),
                horizon=horizon,
                batch_size=task.batch_size,
                data=data,
                cost=StepCost(**cost.to_json()),
                batching=choose(
                    cost,
                    batch_size=task.batch_size,
                    horizon=horizon,
                    seeds=protocol.seeds,
                    points=len(points),
                    eval_examples=protocol.examples(task.batch_size),
                    backend=backend,
                    parts=task.grad_accumulation,
                    alone=alone,
                ),
                lanes=tuple(
                    Lane(seed * len(points) + at, seed, point)
                    for seed in range(protocol.seeds)
                    for at, point in enumerate(points)
                ),
                extendable=extendable,
                parts=task.grad_accumulation,
            )
            cells.append(cell)
    _refuse_twins(cells)
    plan = Plan(suite.hash, protocol.hash, rule(backend, alone=alone), tuple(cells), ())
    return with_shards(plan, loaded.optimizers, protocol)


def identify(
    task: TaskSpec, data: DataRef, optimizer: OptimizerSpec, protocol: Protocol, horizon: int
) -> tuple[str, bool]:
    """Return the id of a cell, and whether its runs can go on: the optimizer asks for no horizon.

    The id stands for everything that a run's numbers depend on besides seed and hyperparameters.
    """
    extendable = "num_steps" not in optimizer.needs
    whose = optimizer.name, optimizer.version, optimizer.identity
    return _cell_id(task, data, whose, protocol, None if extendable else horizon), extendable


def _cell_id(
    task: TaskSpec,
    data: DataRef,
    optimizer: tuple[str, int, Mapping[str, object]],
    protocol: Protocol,
    horizon: int | None,
) -> str:
    own = datasets.is_own(task.data.name)
    return cell_id(
        task=task.hash,
        data=data.content_hash if own else _facts(task, data),
        optimizer=optimizer,
        protocol=protocol.to_json(),
        horizon=horizon,
    )


def imported_cell(
    suite: Suite, index: int, optimizer: OptimizerRef, lanes: Sequence[Lane]
) -> PlannedCell:
    """Return the cell of an imported optimizer on a task; its runs cannot go on.

    Raises:
      DataError: The data of the task have no content hash, or are not here.
    """
    task, protocol = suite.tasks[index], suite.protocol
    data, horizon = _data(task, without_data=False), protocol.steps
    whose = optimizer.name, optimizer.version, optimizer.identity
    seeds, points = {lane.seed for lane in lanes}, {lane.run[0] for lane in lanes}
    return PlannedCell(
        id=_cell_id(task, data, whose, protocol, horizon),
        task=TaskRef(index, task.label, task.family, task.hash),
        optimizer=optimizer,
        horizon=horizon,
        batch_size=task.batch_size,
        data=data,
        cost=StepCost(**description.cost(task).to_json()),
        batching=Batching(IMPORTED, max(1, len(seeds)), max(1, len(points))),
        lanes=tuple(lanes),
    )


def check_cell(cell: PlannedCell, suite: Suite, optimizer: OptimizerSpec) -> None:
    """Refuse a cell that would not have the numbers now that it was planned for.

    Raises:
      PlanError: The code of the optimizer or family, the weights or the data have changed since.
    """
    task = suite.tasks[cell.task.index]
    data = _data(task, without_data=False)
    if identify(task, data, optimizer, suite.protocol, cell.horizon)[0] != cell.id:
        raise PlanError(
            f"{cell.optimizer.label} on {cell.task.label} is not what this run was planned with: "
            "its code, weights or data have changed since. Finished work is kept; run the same "
            "command again."
        )


def _facts(task: TaskSpec, data: DataRef) -> list[object]:
    """Return what a data set of someone else's is: its arrays, and how tasks see them."""
    facts = dataclasses.asdict(task.info)
    names = ("kind", "shape", "num_classes", "vocab_size", "dtype", "layout", "example_tokens")
    # Facts of later kinds of data are left out where they are empty: no older identity changes.
    later = [name for name in ("targets", "largest") if facts[name]]
    return [data.content_hash, {name: facts[name] for name in (*names, *later)}]


def missing_data(plan: Plan) -> dict[str, int]:
    """Return the data sets of a plan that are not prepared, and how many tasks need each."""
    tasks: dict[str, set[str]] = {}
    for cell in plan.cells:
        if not cell.data.content_hash:
            tasks.setdefault(cell.data.name, set()).add(cell.task.hash)
    return {name: len(hashes) for name, hashes in sorted(tasks.items())}


def _data(task: TaskSpec, *, without_data: bool) -> DataRef:
    dataset = task.dataset
    info = dataset.info
    if not info.content_hash and how_to_get(info.name) and not without_data:
        raise missing(info, "train")
    if hash_problem(dataset):
        verify(dataset)  # raises, and says which hashes to declare
    return DataRef(info.name, info.content_hash, info.provenance)


def _refuse_twins(cells: Sequence[PlannedCell]) -> None:
    seen = set()
    for cell in cells:
        if cell.id in seen:
            raise PlanError(
                f"the cell {cell.id} is in the plan twice: two optimizers of the suite are the "
                "same; leave one out."
            )
        seen.add(cell.id)
