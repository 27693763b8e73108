"""``velodrome compare``: what differs between two stores of one suite. Imports no jax."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

import velodrome
from velodrome.commands._parsing import option, run_command
from velodrome.commands._tables import console, print_table
from velodrome.foundation.files import atomic_path

EXAMPLES = (
    "velodrome compare runs/before runs/after",
    "velodrome compare runs/before runs/after --out changes   # the same as CSV files",
)


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
    return run_command(compare, arguments, name="compare", examples=EXAMPLES)


def compare(
    before: Positional[Annotated[Path, arg(metavar="A")]],
    after: Positional[Annotated[Path, arg(metavar="B")]],
    /,
    *,
    out: Annotated[Path | None, option("DIR")] = None,
) -> int:
    """Compare two stores of the same tasks and protocol, run by run; nothing is trained.

    Runs of the same task, optimizer and seed are compared in pairs: B's last train loss over A's,
    so that above 1 B is worse. Prints every task on which that changed, and for each optimizer the
    median over tasks with 95% intervals: for the same tasks and new seeds, and for new tasks. Exits
    with 1 if something became worse, or has runs in A and, though planned there too, none in B.

    A task is worse (better) if every common seed is, and by more than 1% on average; from 5 seeds
    on, its 95% interval must agree. No baseline is needed: it is compared like the others.

    Args:
      before: The directory of the first store.
      after: The directory of the second one.
      out: Where tables of all tasks go as CSV files: `tasks.csv` and `optimizers.csv`.
    """
    from velodrome.results.analyses import diff  # noqa: PLC0415 - help needs no pandas

    first, second = (velodrome.Store.open(path, read_only=True) for path in (before, after))
    tasks, totals = diff.compare_stores(first, second)
    rows = tasks.to_dict("records")
    unchanged = ("equal", "same", "not run")
    changed = [_task(row) for row in rows if row["verdict"] not in unchanged]
    if changed:
        print_table(
            ("task", "optimizer", "#seeds", "#loss A", "#loss B", "#B over A", "#95%", "#speedup A",
             "#speedup B", "verdict"),
            changed,
        )  # fmt: skip
    alike = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in unchanged}
    console().print(
        f"not shown: {alike['equal']} equal in every digit, {alike['same']} without a clear "
        f"change, {alike['not run']} without runs in either.",
        markup=False,
    )
    for where, names in (("A", diff.only_in(first, second)), ("B", diff.only_in(second, first))):
        if names:
            console().print(f"only in {where}: {', '.join(names)}", markup=False)
    for problem in (*first.problems, *second.problems):
        console().print(f"skipped {problem.path}: {problem.reason}", markup=False)
    console().print()
    print_table(
        ("optimizer", "#tasks", "#B over A", "#95%, new seeds", "#95%, new tasks", "#p",
         "#p (Holm)", "#better", "#worse", "#same", "#fails in B"),
        [_total(row) for row in totals.to_dict("records")],
    )  # fmt: skip
    if out is not None:
        for name, table in (("tasks", tasks), ("optimizers", totals)):
            with atomic_path(out / f"{name}.csv") as temporary:
                table.to_csv(temporary, index=False, float_format="%.7g", lineterminator="\n")
        console().print(f"all of it is in {out}", markup=False)
    return int(any(row["verdict"] in diff.WORSE for row in rows))


def _task(row: Mapping[Hashable, Any]) -> tuple[str, ...]:
    return (
        str(row["task"]),
        str(row["label"]),
        str(row["seeds"]),
        _number(row["loss_a"]),
        _number(row["loss_b"]),
        _number(row["change"]),
        _interval(row["low"], row["high"]),
        _number(row["speedup_a"]),
        _number(row["speedup_b"]),
        str(row["verdict"]),
    )


def _total(row: Mapping[Hashable, Any]) -> tuple[str, ...]:
    return (
        str(row["label"]),
        str(row["tasks"]),
        _number(row["change"]),
        _interval(row["low"], row["high"]),
        _interval(row["low_new_tasks"], row["high_new_tasks"]),
        *("-" if math.isnan(row[name]) else f"{row[name]:.2g}" for name in ("p", "p_holm")),
        *(str(row[name]) for name in ("better", "worse", "same", "fails")),
    )


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _interval(low: float, high: float) -> str:
    return "-" if math.isnan(low) else f"{low:.4g} to {high:.4g}"
