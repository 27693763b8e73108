"""``velodrome report``: tables, figures and a page from stores of results, without jax."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

import velodrome
from velodrome.commands._parsing import names, option, run_command
from velodrome.commands._tables import console
from velodrome.foundation.errors import VelodromeError

EXAMPLES = (
    "velodrome report runs/mine                   # everything goes to runs/mine/report",
    "velodrome report runs/mine --out figures",
    "velodrome report runs/mine --target accuracy=0.9  # when each optimizer reached it",
    "velodrome report runs/velo runs/lion --out both   # stores with other optimizers or seeds",
)


def command(arguments: Sequence[str]) -> int:
    return run_command(report, arguments, name="report", examples=EXAMPLES)


def report(
    stores: Positional[Annotated[tuple[Path, ...], arg(metavar="DIR [DIR ...]")]],
    /,
    *,
    out: Annotated[Path | None, option("DIR")] = None,
    question: Annotated[str | None, option("NUMBER")] = None,
    suite: Annotated[str | None, option("NAME")] = None,
    steps: Annotated[int | None, option("N")] = None,
    optimizers: Annotated[str | None, option("A,B")] = None,
    seeds: Annotated[int | None, option("K")] = None,
    target: Annotated[str | None, option("VALUE")] = None,
    captions: bool = False,
) -> int:
    """Draw tables, figures and a page from stores of results; nothing is trained again.

    Prints a table of speedups. Writes `index.html`, one page that needs nothing beside it; each
    figure as PNG, PDF and SVG with its numbers as CSV; and `report.md`, the report as text. Several
    stores of the same tasks and protocol become one report, with the optimizers or seeds of all.
    A run that is in two of them must have the same losses in both. Published envelopes of Adam that
    `velodrome reference fetch` has put into the cache are drawn and compared too, for tasks that
    have a published name.

    Args:
      stores: The directories that `velodrome run --out` filled, wholly or in part.
      out: Where everything goes. Default: the folder `report` in the store; required for several
        stores.
      question: Number of the question to show, of those the store was asked. Default: the last.
      suite: Instead: the last question of this suite.
      steps: Instead, or besides: the last question with so many steps.
      optimizers: Only these, with commas between, and the baseline. Default: all.
      seeds: Only the first K seeds. Default: all.
      target: Say when each optimizer reached this on every task: a held-out loss, such as 0.5; or
        as in accuracy=0.9, train:loss=0.1, or "my_metric>=3". Default: the targets of the suite.
      captions: Put the captions into the files of the figures, too. The page always has them.
    """
    if len(stores) > 1 and out is None:
        raise VelodromeError("a report of several stores needs a place: add --out DIR")
    select = velodrome.Selection(question, suite, steps, names(optimizers), seeds)
    reference = velodrome.load_reference()
    wanted = None if target is None else velodrome.Target.parse(target)
    files = velodrome.report(
        stores, out, select=select, reference=reference, target=wanted, captions=captions
    )
    files.print(console())
    console().print(
        f"\nthe page is {files.page}; the figures, CSV files and report.md are beside it",
        markup=False,
    )
    # Said again, as the beginning of a long report has left the screen.
    for line in files.verdict[:1]:
        console().print(line, markup=False)
    return 0
