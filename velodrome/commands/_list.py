"""The rows of ``velodrome list``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import velodrome
from velodrome.commands._tables import each_usable
from velodrome.commands._tasks import find_tasks
from velodrome.foundation.errors import MissingWeightsError
from velodrome.foundation.text import short
from velodrome.suites.catalog import load_suite, slices, suites
from velodrome.taskgen.registry import families
from velodrome.taskgen.space.fields import config_fields

Row = Sequence[object]


def table(kind: str, where: str | None) -> tuple[Sequence[str], Iterator[Row]]:
    """Return the columns and the rows of one kind of thing; see ``list_things``."""
    columns, rows = {
        "families": (
            ("family", "data", "#version", "config"),
            lambda: each_usable("family", families.names(), _family),
        ),
        "datasets": (
            ("data set", "kind", "shape", "#classes", "#train", "#held out", "from"),
            lambda: each_usable("data set", velodrome.datasets.names(), _dataset),
        ),
        "optimizers": (
            ("optimizer", "label", "sweep", "#points", "needs"),
            lambda: each_usable("optimizer", velodrome.optimizers.names(), _optimizer),
        ),
        "suites": (
            ("suite", "#tasks", "#steps", "#seeds", "optimizers", "hash"),
            lambda: each_usable("suite", suites.names(), _suite),
        ),
        "tasks": (
            ("task", "family", "data", "#batch", "#parameters", "#FLOPs a step"),
            lambda: _tasks(where),
        ),
    }[kind]
    return columns, rows()


def _family(name: str) -> Iterator[Row]:
    family = families.get(name)
    yield name, family.data_kind, family.version, ", ".join(config_fields(family.config))


def _dataset(name: str) -> Iterator[Row]:
    info = velodrome.datasets.get(name).info
    shape = "x".join(map(str, info.shape)) if info.shape else ""
    sizes = (info.split_sizes.get(split, "") for split in ("train", "heldout"))
    classes = info.num_classes or info.vocab_size or ""  # none where numbers are predicted
    yield name, info.kind, shape, classes, *sizes, info.provenance


def _optimizer(name: str) -> Iterator[Row]:
    try:
        spec = velodrome.optimizers.get(name)
    except MissingWeightsError as error:  # it can be used, after one command
        yield name, f"not here yet: {error.advice}", "", "", ""
        return
    sweep = ", ".join(spec.grid) or "none"
    yield name, spec.label, sweep, len(spec.points), ", ".join(sorted(spec.needs))


def _suite(name: str) -> Iterator[Row]:
    suite = load_suite(name)
    for part, members in {name: suite, **slices(suite)}.items():
        protocol = members.protocol
        names = ", ".join(members.optimizers)
        yield part, len(members.tasks), protocol.steps, protocol.seeds, names, members.hash[:12]


def _tasks(where: str | None) -> Iterator[Row]:
    if where is None:
        return each_usable("suite", suites.names(), lambda name: _members(name, f"{name}:"))
    return _members(where, "")


def _members(where: str, prefix: str) -> Iterator[Row]:
    for spec in find_tasks(where):
        cost = velodrome.cost(spec)
        size = (short(cost.params), short(cost.flops))
        yield f"{prefix}{spec.label}", spec.family, spec.data.name, spec.batch_size, *size
