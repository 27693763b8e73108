"""``velodrome list``: families, data sets, optimizers, suites, or tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from tyro.conf import Positional

from velodrome.commands._parsing import option, run_command
from velodrome.commands._tables import print_table
from velodrome.foundation.errors import VelodromeError

EXAMPLES = (
    "velodrome list families     # what tasks can be sampled from",
    "velodrome list optimizers   # names for `velodrome run --optimizers`",
    "velodrome list tasks demo   # the tasks of a suite or of a file",
)

#: Characters of a cell: names of fields and of optimizers make long ones.
_WIDEST = 64


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
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
    from velodrome.commands import _list  # noqa: PLC0415 - help needs no numpy

    print_table(*_list.table(kind, where), widest=_WIDEST)
    return 0
