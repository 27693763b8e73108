"""Make the plan of a suite: cells (a task and an optimizer at one horizon), and their shards."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import PlanError
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.results.store.plan import (
    Batching,
    DataRef,
    Hyperparameters,
    Lane,
    OptimizerRef,
    Plan,
    PlannedCell,
    Shard,
    StepCost,
    TaskRef,
)
from velodrome.suites.planning.batching import choose, rule
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
        return cls(suite, {name: optimizers.get(name) for name in suite.optimizers})


def make_plan(
    suite: Suite | LoadedSuite, *, backend: str = "cpu", without_data: bool = False
) -> Plan:
    """Return the plan of a suite; a pure function of the suite, the registries and ``backend``.

    Args:
      backend: ``"cpu"``, ``"gpu"`` or ``"tpu"``: the batching depends on it.
      without_data: Whether published data that are not prepared may be missing. Such a plan is
        only for looking at: the cells of such data have no content hash, and other ids later.

    Raises:
      UnknownNameError: An optimizer, family or data set is not registered.
      PlanError: A cell exists twice.
      DataError: A data set has no content hash, so that results could not name their data; the
        message has the hash to declare.
    """
    loaded = suite if isinstance(suite, LoadedSuite) else LoadedSuite.of(suite)
    suite, protocol = loaded.suite, loaded.suite.protocol
    cells, shards = [], []
    for index, task in enumerate(suite.tasks):
        data = _data(task, without_data=without_data)
        cost = description.cost(task)
        for name, optimizer in loaded.optimizers.items():
            points = grid_points(optimizer, protocol)
            horizon = protocol.horizon(name)
            cell = PlannedCell(
                id=cell_id(task, data, optimizer, protocol, horizon),
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
                ),
            )
            cells.append(cell)
            shards.extend(_shards(cell, points, optimizer, protocol.seeds))
    _refuse_twins(cells, "cell")
    _refuse_twins(shards, "shard")
    return Plan(suite.hash, protocol.hash, rule(backend), tuple(cells), tuple(shards))


def grid_points(optimizer: OptimizerSpec, protocol: Protocol) -> list[Hyperparameters]:
    """Return the points of an optimizer's sweep under ``protocol``, in order."""
    if protocol.learning_rates is None or "learning_rate" not in optimizer.grid:
        return list(optimizer.points)
    rest: list[Hyperparameters] = []
    for point in optimizer.points:
        others = {name: value for name, value in point.items() if name != "learning_rate"}
        if others not in rest:
            rest.append(others)
    return [
        {name: (rate if name == "learning_rate" else others[name]) for name in optimizer.grid}
        for others in rest
        for rate in protocol.learning_rates
    ]


def split_static(
    optimizer: OptimizerSpec, point: Hyperparameters
) -> tuple[Hyperparameters, Hyperparameters]:
    """Split hyperparameters into those that a program is compiled for, and those it is given."""
    static = {name: value for name, value in point.items() if name in optimizer.static}
    return static, {name: value for name, value in point.items() if name not in static}


def static_key(static: Hyperparameters) -> tuple[tuple[str, str], ...]:
    """Return a key of hyperparameters that a program is compiled for.

    >>> static_key({"nesterov": True, "betas": [0.9, 0.99]})
    (('betas', '[0.9, 0.99]'), ('nesterov', 'True'))
    """
    # By `repr`: a value may be a list, and 1, 1.0 and True are equal but not the same program.
    return tuple((name, repr(value)) for name, value in sorted(static.items()))


def cell_id(
    task: TaskSpec, data: DataRef, optimizer: OptimizerSpec, protocol: Protocol, horizon: int
) -> str:
    """Return 16 hexadecimal digits that stand for everything the cell's numbers depend on."""
    identity = {
        "task": task.hash,
        "data": data.content_hash if datasets.is_own(task.data.name) else _facts(task, data),
        "optimizer": {
            "name": optimizer.name,
            "version": optimizer.version,
            "identity": dict(optimizer.identity),
            "points": [dict(point) for point in grid_points(optimizer, protocol)],
        },
        "protocol": protocol.to_json(),
        "horizon": horizon,
    }
    return content_hash(identity)[:16]


def check_cell(cell: PlannedCell, suite: Suite, optimizer: OptimizerSpec) -> None:
    """Refuse a cell that would not have the numbers now that it was planned for.

    Raises:
      PlanError: The code of the optimizer or family, the weights or the data have changed since.
    """
    task = suite.tasks[cell.task.index]
    data = _data(task, without_data=False)
    if cell_id(task, data, optimizer, suite.protocol, cell.horizon) != cell.id:
        raise PlanError(
            f"{cell.optimizer.label} on {cell.task.label} is not what this run was planned with: "
            "its code, weights or data have changed since. Finished work is kept; run the same "
            "command again."
        )


def _facts(task: TaskSpec, data: DataRef) -> list[object]:
    """Return what a data set of someone else's is: its arrays, and how tasks see them."""
    facts = dataclasses.asdict(task.info)
    names = ("kind", "shape", "num_classes", "vocab_size", "dtype", "layout", "example_tokens")
    return [data.content_hash, {name: facts[name] for name in names}]


def missing_data(plan: Plan) -> dict[str, int]:
    """Return the data sets of a plan that are not prepared, and how many tasks need each."""
    tasks: dict[str, set[str]] = {}
    for cell in plan.cells:
        if not cell.data.content_hash:
            tasks.setdefault(cell.data.name, set()).add(cell.task.hash)
    return {name: len(hashes) for name, hashes in sorted(tasks.items())}


def _shards(
    cell: PlannedCell, points: Sequence[Hyperparameters], optimizer: OptimizerSpec, seeds: int
) -> Iterator[Shard]:
    batching = cell.batching
    for first_seed in range(0, seeds, batching.seeds):
        some_seeds = range(first_seed, min(seeds, first_seed + batching.seeds))
        for group in _groups(points, optimizer, batching):
            shard = Shard(
                id="",
                cell=cell.id,
                mode=batching.mode,
                eval_slice=batching.eval_slice,
                block=batching.block,
                lanes=tuple(
                    Lane(seed * len(points) + at, seed, points[at])
                    for seed in some_seeds
                    for at in group
                ),
            )
            body = {name: value for name, value in shard.to_json().items() if name != "id"}
            yield dataclasses.replace(shard, id=content_hash(body)[:16])


def _groups(
    points: Sequence[Hyperparameters], optimizer: OptimizerSpec, batching: Batching
) -> Iterator[list[int]]:
    """Split grid points, by position; points of a ``vmap`` shard share one compiled program."""
    programs: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for at, point in enumerate(points):
        static, _ = split_static(optimizer, point)
        key = static_key(static) if batching.mode == "vmap" else ()
        programs.setdefault(key, []).append(at)
    for members in programs.values():
        for start in range(0, len(members), batching.points):
            yield members[start : start + batching.points]


def _data(task: TaskSpec, *, without_data: bool) -> DataRef:
    dataset = datasets.get(task.data.name)
    info = dataset.info
    if not info.content_hash and how_to_get(info.name) and not without_data:
        raise missing(info, "train")
    if hash_problem(dataset):
        verify(dataset)  # raises, and says which hashes to declare
    return DataRef(info.name, info.content_hash, info.provenance)


def _refuse_twins(entries: Sequence[PlannedCell] | Sequence[Shard], what: str) -> None:
    seen = set()
    for entry in entries:
        if entry.id in seen:
            raise PlanError(
                f"the {what} {entry.id} is in the plan twice: two optimizers of the suite are "
                "the same; leave one out."
            )
        seen.add(entry.id)
