"""A store in, files out: figures with their numbers beside them, a summary, a page of text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from velodrome.foundation.files import atomic_path, atomic_write_text
from velodrome.results.analyses.reference import Reference
from velodrome.results.report.data import ReportData, collect
from velodrome.results.report.figures.all import plots
from velodrome.results.report.figures.drawing import draw_all, processes_for
from velodrome.results.report.page.build import build_page
from velodrome.results.report.text import markdown
from velodrome.results.store.combined import open_stores


@dataclass(frozen=True)
class ReportFiles:
    """What a report consists of.

    Attributes:
      directory: where everything is.
      figures: PNG, PDF and SVG files.
      tables: CSV files: the summary, and the numbers of each figure under the figure's name.
      markdown: the page of text.
      page: the page of HTML, which needs nothing beside it.
      data: the tables in memory, for printing.
    """

    directory: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...]
    markdown: Path
    page: Path
    data: ReportData


def write_report(
    directory: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    *,
    reference: Reference | None = None,
) -> ReportFiles:
    """Draws the report of a store, from the store alone.

    Args:
      directory: the store; or several of the same tasks and protocol, with other optimizers or
        more seeds.
      out: where to write; by default ``report`` inside the (first) store.
      reference: published envelopes, to be drawn and compared with the baseline's; see
        ``velodrome.results.analyses.reference.load_reference``.

    Raises:
      StoreError: there is no readable store, or several do not belong together.
      VelodromeError: the files cannot be written.
    """
    several = [directory] if isinstance(directory, str | os.PathLike) else list(directory)
    store = open_stores(several)
    target = Path(out) if out is not None else store.directory / "report"
    data = collect(store, reference=reference)
    drawing = list(plots(data))
    tables = [_csv(data.summary, target / "summary.csv")]
    for plot in drawing:
        table = with_data(plot.table, data.summary)
        tables.append(_csv(table, target / f"{plot.name}.csv"))
    finished = draw_all(drawing, target, processes=processes_for(data.context.tasks))
    figures = tuple(file for one in finished for file in one.files)
    shown = [one.shown for one in finished if one.shown is not None]
    drawn = {path.stem for path in tables}
    for name, table in data.tables().items():
        # The curves stand beside their figures; the published baseline is there with a reference.
        if name not in drawn | {"curves"} and (name != "published" or len(table)):
            tables.append(_csv(with_data(table, data.summary), target / f"{name}.csv"))
    text = target / "report.md"
    atomic_write_text(text, markdown(data))
    page = target / "index.html"
    atomic_write_text(page, build_page(data, shown))
    return ReportFiles(target, figures, tuple(tables), text, page, data)


def with_data(table: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Adds the kind of data, of each task where there are tasks: files are read alone too."""
    if "provenance" in table:
        return table
    if "task" not in table:
        return table.assign(provenance="+".join(sorted(set(summary["provenance"].dropna()))))
    kinds = {
        task: "+".join(sorted(set(rows["provenance"].dropna())))
        for task, rows in summary.groupby("task")
    }
    return table.assign(provenance=[kinds.get(task) for task in table["task"]])


def _csv(table: pd.DataFrame, path: Path) -> Path:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.7g", lineterminator="\n")
    return path


report = write_report  # the public name, `velodrome.report`
