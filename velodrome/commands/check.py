"""``velodrome check``: the contract tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

import velodrome
from velodrome.commands._parsing import run_command
from velodrome.commands._tables import console, print_table
from velodrome.foundation.text import duration

if TYPE_CHECKING:
    from velodrome.check import CheckResult

EXAMPLES = (
    "velodrome check family mlp",
    "velodrome check family my_family.py:family   # an object in a file of yours",
    "velodrome check optimizer optax:lion         # any optax factory",
    "velodrome check data my_data.py:dataset       # labels, pixels, sizes, and the hash",
    "velodrome check task tasks.json:0",
)


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
    return run_command(check, arguments, name="check", examples=EXAMPLES)


def check(
    kind: Positional[Literal["task", "data", "family", "optimizer"]],
    name: Positional[Annotated[str, arg(metavar="NAME")]],
    /,
) -> int:
    """Put a task, data set, family, or optimizer through its contract tests.

    Exits with 0 if all checks pass and with 1 if one fails. VELODROME_TRACEBACK=1 shows where the
    first failure comes from.

    Args:
      kind: What is checked.
      name: A registered name, an entry point, or path/to/file.py:object. For tasks also what
        `velodrome show` takes.
    """
    from velodrome.commands._tasks import find_task  # noqa: PLC0415 - help needs no numpy
    from velodrome.suites.planning.preflight import static_note  # noqa: PLC0415 - likewise

    if kind == "task":
        results = velodrome.check_task(find_task(name))
    elif kind == "data":
        results = velodrome.check_data(name)
    elif kind == "family":
        results = velodrome.check_family(name)
    else:
        results = velodrome.check_optimizer(name)
    # Checks that fail for the same reason share a row.
    rows: dict[str, list[CheckResult]] = {}
    for result in results:
        rows.setdefault(result.problem or result.demand, []).append(result)
    print_table(
        ("check", "result", "#time", "what it asks for, or what is wrong"),
        (
            (
                ", ".join(result.name for result in group),
                "pass" if group[0].passed else "FAIL",
                duration(sum(result.seconds for result in group)),
                text,
            )
            for text, group in rows.items()
        ),
    )
    failed = sum(not result.passed for result in results)
    if kind == "optimizer" and (note := static_note(velodrome.optimizers.get(name))):
        console().print(note, markup=False)
    verdict = f"{failed} of {len(results)} checks failed" if failed else "all checks passed"
    console().print(f"{kind} {name}: {verdict}", markup=False)
    return 1 if failed else 0
