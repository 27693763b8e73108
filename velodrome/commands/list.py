"""``velodrome list``: what there is, by kind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal, cast

from tyro.conf import Positional

from velodrome.commands._parsing import option, run_command
from velodrome.commands._tables import print_table
from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.text import short

EXAMPLES = (
    "velodrome list families     # what tasks can be sampled from",
    "velodrome list optimizers   # names for `velodrome run --optimizers`",
    "velodrome list tasks demo   # the tasks of a suite or of a file",
)

Rows = Iterator[Sequence[object]]


def command(arguments: Sequence[str]) -> int:
    """Parses the arguments and runs the command."""
    return run_command(list_things, arguments, name="list", examples=EXAMPLES)


def list_things(
    kind: Positional[Literal["families", "datasets", "optimizers", "suites", "tasks"]],
    where: Positional[Annotated[str | None, option("[SUITE_OR_JSON]")]] = None,
    /,
) -> int:
    """List what there is: built in, and from installed packages.

    Args:
      kind: What to list.
      where: For tasks: a suite or a file of tasks. Default: all suites.
    """
    if where is not None and kind != "tasks":
        raise VelodromeError(f"`velodrome list {kind}` takes nothing more; leave out {where!r}.")
    columns, rows = {
        "families": (("family", "data", "#version", "config"), _families),
        "datasets": (
            ("data set", "kind", "shape", "#classes", "#train", "#held out", "from"),
            _datasets,
        ),
        "optimizers": (("optimizer", "label", "sweep", "#points", "needs"), _optimizers),
        "suites": (("suite", "#tasks", "#steps", "#seeds", "optimizers", "hash"), _suites),
        "tasks": (
            ("task", "family", "data", "#batch", "#parameters", "#FLOPs a step"),
            lambda: _tasks(where),
        ),
    }[kind]
    print_table(columns, rows())
    return 0


def _each(registry: Any, describe: Callable[[str, Any], Sequence[object]]) -> Rows:
    """Describes all entries; one that cannot be loaded is told on stderr, with the reason."""
    for name in registry.names():
        try:
            yield describe(name, registry.get(name))
        except VelodromeError as error:
            print(f"velodrome: {registry.kind} {name!r} cannot be used: {error}", file=sys.stderr)


def _families() -> Rows:
    from velodrome.taskgen.registry import families
    from velodrome.taskgen.space.config import config_fields

    return _each(
        families,
        lambda name, family: (
            name,
            family.data_kind,
            family.version,
            ", ".join(config_fields(family.config)),
        ),
    )


def _datasets() -> Rows:
    from velodrome.taskgen.data.registry import datasets

    def describe(name: str, dataset: Any) -> Sequence[object]:
        info = dataset.info
        shape = "x".join(map(str, info.shape)) if info.shape else ""
        sizes = info.split_sizes
        return (
            name,
            info.kind,
            shape,
            info.num_classes or info.vocab_size,
            sizes.get("train", ""),
            sizes.get("heldout", ""),
            info.provenance,
        )

    return _each(datasets, describe)


def _optimizers() -> Rows:
    from velodrome.optimizers.registry import optimizers

    return _each(
        optimizers,
        lambda name, spec: (
            name,
            spec.label,
            ", ".join(spec.grid) or "none",
            len(spec.points),
            ", ".join(sorted(spec.needs)),
        ),
    )


def _suites() -> Rows:
    from velodrome.suites.catalog import load_suite, slices, suites
    from velodrome.suites.suite import Suite

    def describe(name: str, suite: Any) -> Sequence[object]:
        protocol = suite.protocol
        names = ", ".join(suite.optimizers)
        return name, len(suite.tasks), protocol.steps, protocol.seeds, names, suite.hash[:12]

    for row in _each(suites, lambda name, _: (name, load_suite(name))):
        name, suite = cast(tuple[str, Suite], tuple(row))
        yield describe(name, suite)
        for part, members in slices(suite).items():
            yield describe(part, members)


def _tasks(where: str | None) -> Rows:
    from velodrome.commands._tasks import find_tasks
    from velodrome.suites.catalog import suites
    from velodrome.taskgen.description import cost

    for name in suites.names() if where is None else [where]:
        for spec in find_tasks(name):
            price = cost(spec)
            label = spec.label if where else f"{name}:{spec.label}"
            size = (short(price.params), short(price.flops))
            yield (label, spec.family, spec.data.name, spec.batch_size, *size)
