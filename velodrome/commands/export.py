"""``velodrome export``: results for other programs, from stores alone and without jax."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

import velodrome
from velodrome.commands._parsing import names, option, run_command
from velodrome.commands._tables import console, print_table
from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.text import plural

EXAMPLES = (
    "velodrome export runs/mine                 # everything goes to runs/mine/export",
    "velodrome export runs/mine --format csv --out tables",
    "velodrome export runs/mine --parts tensorboard   # event files of the curves",
    "velodrome export runs/velo runs/lion --out both  # stores with other optimizers or seeds",
)


def command(arguments: Sequence[str]) -> int:
    return run_command(export, arguments, name="export", examples=EXAMPLES)


def export(
    stores: Positional[Annotated[tuple[Path, ...], arg(metavar="DIR [DIR ...]")]],
    /,
    *,
    out: Annotated[Path | None, option("DIR")] = None,
    question: Annotated[str | None, option("NUMBER")] = None,
    suite: Annotated[str | None, option("NAME")] = None,
    steps: Annotated[int | None, option("N")] = None,
    optimizers: Annotated[str | None, option("A,B")] = None,
    seeds: Annotated[int | None, option("K")] = None,
    parts: Annotated[str, arg(metavar="PART,PART")] = "tables,curves,headline",
    formats: Annotated[str, arg(name="format", metavar="FORMAT,FORMAT")] = "parquet",
) -> int:
    """Write results for other programs: tidy tables, a table for a paper, TensorBoard's files.

    The parts are: tables (every run, every speedup, and all that the report computes), curves
    (a row for every number that was measured), headline (Markdown, and LaTeX for booktabs), and
    tensorboard (the curves as event files; needs the extra velodrome[tensorboard]). Nothing is
    trained again. Files of the same names are replaced, others are left alone.

    Args:
      stores: The directories that `velodrome run --out` filled, wholly or in part; several must
        have the same tasks and protocol.
      out: Where everything goes. Default: the folder `export` in the store; required for several
        stores.
      question: Number of the question to show, of those the store was asked. Default: the last.
      suite: Instead: the last question of this suite.
      steps: Instead, or besides: the last question with so many steps.
      optimizers: Only these, with commas between, and the baseline. Default: all.
      seeds: Only the first K seeds. Default: all.
      parts: What to write: tables, curves, headline, tensorboard.
      formats: Formats of tables and curves: parquet, csv, or both. Parquet suits the curves of a
        large store best.
    """
    if len(stores) > 1 and out is None:
        raise VelodromeError("an export of several stores needs a place: add --out DIR")
    files = velodrome.export(
        stores,
        out,
        select=velodrome.Selection(question, suite, steps, names(optimizers), seeds),
        parts=names(parts) or (),
        formats=names(formats) or (),
        reference=velodrome.load_reference(),
    )
    rows = [(path.name, f"{count:,}") for paths, count in files.tables.values() for path in paths]
    if rows:
        print_table(("file", "#rows"), rows)
    for path in files.headline:
        console().print(path.name, markup=False)
    if files.runs:
        console().print(f"tensorboard: {plural(files.runs, 'event file')}", markup=False)
    for problem in files.problems:
        console().print(f"skipped {problem.path}: {problem.reason}", markup=False)
    console().print(f"\neverything is in {files.directory}", markup=False)
    return 0
