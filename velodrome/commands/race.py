"""``velodrome race``: one optimizer against the stored field of a suite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

import velodrome
from velodrome.commands._parsing import grids, numbers, option, run_command
from velodrome.commands._tables import console, print_table

EXAMPLES = (
    "velodrome race my_file.py:my_optimizer",
    "velodrome race optax:adan --learning-rates 1e-3,3e-3,1e-2,3e-2",
    "velodrome race adamw --grid weight_decay=0,0.01,0.1 --out race/decay",
    "velodrome race my_file.py:my_optimizer --suite heldout-40 --field results/mine",
)


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
    return run_command(race, arguments, name="race", examples=EXAMPLES)


def race(
    optimizer: Positional[Annotated[str, arg(metavar="OPTIMIZER")]],
    /,
    *,
    out: Annotated[Path | None, option("DIR")] = None,
    suite: Annotated[str, option("NAME")] = "sprint",
    field: Annotated[Path | None, option("DIR")] = None,
    learning_rates: Annotated[str | None, option("A,B")] = None,
    grid: Annotated[tuple[tuple[str, ...], ...], UseAppendAction, option("KEY=A,B")] = (),
    workers: Annotated[int | None, option("W")] = None,
    rerun_changed: bool = False,
) -> int:
    """Race an optimizer against tuned Adam and other optimizers, whose runs are stored already.

    Only the optimizer's own runs are trained: on the suite `sprint`, twelve small tasks for 1,000
    steps with three seeds and eight learning rates, about six minutes on two cores. Prints its
    place in the field, its speedup over tuned Adam in steps and in seconds, how likely it beats
    each rival, which rate to use, and where it fails; and draws the report. You can interrupt it at
    any time: the same command resumes it.

    Args:
      optimizer: A name (`velodrome list optimizers`), an import path such as optax:adan, or
        path/to/file.py:object.
      out: The store: a directory, new or from earlier races. Default: race/NAME.
      suite: The suite to race on. Default: sprint.
      field: A store with runs of the suite's baseline, and perhaps of others. Default: the one that
        comes with the suite.
      learning_rates: The sweep of this optimizer, with commas between. Default: the suite's.
      grid: Values of another of its hyperparameters; may be given several times.
      workers: Worker processes; 0 trains in this one. Default: by cores and memory.
      rerun_changed: Race the optimizer again after its code has changed.
    """
    words = (f"{optimizer}.{word}" for group in grid for word in group)
    found = velodrome.race(
        optimizer,
        out,
        suite=suite,
        field=field,
        learning_rates=numbers(learning_rates, "--learning-rates"),
        grid=grids(words, "--grid").get(optimizer),
        workers=workers,
        rerun_changed=rerun_changed,
    )
    print_table(found.standings.header, found.standings.rows)
    for line in ("", *found.lines, "", f"The report of the whole field is {found.report.page}"):
        console().print(line, markup=False)
    return 1 if found.run.missing else 0
