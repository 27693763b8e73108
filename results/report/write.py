"""Write a report into files: figures with their numbers beside them, tables, a page, a text."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console

from velodrome.foundation.files import atomic_path, atomic_write_text, resolved
from velodrome.results.analyses.reference import Reference
from velodrome.results.report.data import ReportData, StorePaths, collect, opened
from velodrome.results.report.figures.contents import plots
from velodrome.results.report.figures.drawing import draw_all, processes_for
from velodrome.results.report.page.build import build_page
from velodrome.results.report.text import markdown, print_report
from velodrome.results.report.verdict import verdict_lines
from velodrome.results.store.selection import Selection
from velodrome.results.store.target import Target


@dataclass(frozen=True)
class ReportFiles:
    """The files of a report.

    Attributes:
      directory: The folder that everything is in.
      figures: PNG, PDF and SVG files.
      tables: CSV files: the summary, and the numbers of each figure under the figure's name.
      markdown: The page of text.
      page: The page of HTML, which needs nothing beside it.
      data: The tables in memory, for printing.
    """

    directory: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...]
    markdown: Path
    page: Path
    data: ReportData

    @property
    def verdict(self) -> list[str]:
        """What the report says first, a sentence an entry; empty without a candidate."""
        return verdict_lines(self.data)

    def print(self, console: Console) -> None:
        """Print the tables and what they are of, as ``velodrome report`` does."""
        print_report(self.data, console=console)


def report(
    directory: StorePaths,
    out: str | os.PathLike[str] | None = None,
    *,
    select: Selection | None = None,
    reference: Reference | None = None,
    target: Target | None = None,
    captions: bool = False,
) -> ReportFiles:
    """Draw the report of a store, from the store alone.

    Args:
      directory: The store; or several of the same tasks and protocol, with other optimizers or
        more seeds.
      out: Where to write; by default ``report`` inside the (first) store.
      select: The question to answer, and what to show of it; by default all of the last one.
      reference: Published envelopes, to be drawn and compared with the baseline's; see
        ``velodrome.results.analyses.reference.load_reference``.
      target: What is to be reached on every task; by default what the suite says of each. The
        report says when it was.
      captions: Whether the files of the figures have their captions in them. The page always has
        them. Without, figures of stand-ins and of synthetic curves still say what they are.

    Raises:
      StoreError: There is no readable store, or several do not belong together.
      VelodromeError: The files cannot be written.

    Examples:
      >>> files = velodrome.report("runs/mine")  # doctest: +SKIP
    """
    store = opened(directory, select)
    folder = store.directory / "report" if out is None else resolved(out)
    data = collect(store, reference=reference, target=target)
    drawing = list(plots(data))
    saved = {"summary": data.summary} | {plot.name: plot.table for plot in drawing}
    saved = {name: data.with_provenance(table) for name, table in saved.items()}
    saved |= {name: table for name, table in data.saved_tables() if name not in saved}
    tables = tuple(_csv(table, folder / f"{name}.csv") for name, table in saved.items())
    processes = processes_for(data.context.tasks)
    # A figure that leaves the page still says that its data are not what they seem.
    note = data.context.line if data.context.made_up else ""
    finished = draw_all(drawing, folder, captions=captions, note=note, processes=processes)
    figures = tuple(file for one in finished for file in one.files)
    shown = [one.shown for one in finished if one.shown is not None]
    text, page = folder / "report.md", folder / "index.html"
    atomic_write_text(text, markdown(data))
    atomic_write_text(page, build_page(data, shown))
    return ReportFiles(folder, figures, tables, text, page, data)


def _csv(table: pd.DataFrame, path: Path) -> Path:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.7g", lineterminator="\n")
    return path
