"""``velodrome report``: tables and figures from a store of results. Imports no jax."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from velodrome.commands._parsing import option, run_command
from velodrome.commands._tables import console

EXAMPLES = (
    "velodrome report runs/mine                   # figures go to runs/mine/report",
    "velodrome report runs/mine --out figures",
)


def command(arguments: Sequence[str]) -> int:
    """Parses the arguments and runs the command."""
    return run_command(report, arguments, name="report", examples=EXAMPLES)


def report(
    store: Positional[Annotated[Path, arg(metavar="DIR")]],
    /,
    *,
    out: Annotated[Path | None, option("DIR")] = None,
) -> int:
    """Draw tables and figures from a store of results; nothing is trained again.

    Prints a table of speedups, and writes learning curves and speedup curves as PNG and PDF, each
    with its numbers as CSV beside it. Published envelopes of Adam that `velodrome reference fetch`
    has put into the cache are drawn and compared too, for tasks that have a published name.

    Args:
      store: The directory that `velodrome run --out` filled, wholly or in part.
      out: Where figures go. Default: the folder `report` in the store.
    """
    from results.reference import load_reference
    from results.report import print_report, write_report

    files = write_report(store, out, reference=load_reference())
    print_report(files.data, console=console())
    console().print(
        f"\nfigures, CSV files, and the same as text are in {files.directory}", markup=False
    )
    return 0
