"""Write a store's results for other programs; every number is the report's or the store's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from velodrome.foundation.errors import UnknownNameError, VelodromeError
from velodrome.foundation.files import resolved
from velodrome.results.analyses.reference import Reference
from velodrome.results.export.events import EventFiles
from velodrome.results.export.headline import write_headline
from velodrome.results.export.runs import CURVES, curve_table, run_table
from velodrome.results.export.speedups import speedup_table
from velodrome.results.export.stored import stored_rows
from velodrome.results.export.tablefile import TableFiles, from_pandas
from velodrome.results.report.context import data_text
from velodrome.results.report.data import ReportData, StorePaths, collect, opened
from velodrome.results.speedup.comparison import labelled_cells
from velodrome.results.store.cell import Cell
from velodrome.results.store.json_files import Problem
from velodrome.results.store.provenance import KEY
from velodrome.results.store.selection import Selection
from velodrome.results.store.store import Store

PARTS = ("tables", "curves", "headline", "tensorboard")
DEFAULT_PARTS = ("tables", "curves", "headline")
FORMATS = ("parquet", "csv")


@dataclass(frozen=True)
class ExportFiles:
    """The files of an export.

    Attributes:
      directory: The folder that everything is in.
      tables: Tables by name, with their files and their numbers of rows.
      headline: The table as Markdown and as LaTeX.
      runs: Number of event files of TensorBoard, in ``tensorboard``.
      problems: Files of the stores that were skipped.
    """

    directory: Path
    tables: dict[str, tuple[tuple[Path, ...], int]]
    headline: tuple[Path, ...]
    runs: int
    problems: tuple[Problem, ...]


def export(
    directory: StorePaths,
    out: str | os.PathLike[str] | None = None,
    *,
    parts: Sequence[str] = DEFAULT_PARTS,
    formats: Sequence[str] = FORMATS[:1],
    select: Selection | None = None,
    reference: Reference | None = None,
) -> ExportFiles:
    """Write the results of a store for other programs; files of the same names are replaced.

    Args:
      directory: The store; or several of the same tasks and protocol, with other optimizers or
        more seeds.
      out: Where to write; by default ``export`` inside the (first) store.
      parts: Some of `PARTS`. ``tables``: everything that the report computes, every run,
        every speedup; ``curves``: every number that was measured; ``headline``: as Markdown and
        LaTeX; ``tensorboard``: the curves as event files, which takes the extra ``tensorboard``.
      formats: Some of `FORMATS`, for tables and curves.
      select: The question to answer, and what to show of it; by default all of the last one.
      reference: Published envelopes of the baseline, to compare it with; see
        ``velodrome.results.analyses.reference.load_reference``.

    Raises:
      StoreError: There is no readable store, or several do not belong together.
      UnknownNameError: No such part or format.
      VelodromeError: A file cannot be written, or tensorboardX is not installed.

    Examples:
      >>> files = velodrome.export("runs/mine", "tables", parts=["tables"], formats=["csv"])
      >>> sorted(files.tables)[:3]
      ['anytime', 'definitions', 'failures']
    """
    _check(parts, "part of an export", PARTS)
    _check(formats, "format of tables", FORMATS)
    store = opened(directory, select)
    target = store.directory / "export" if out is None else resolved(out)
    cells = labelled_cells(store)
    files = TableFiles(target, formats, _about(store, cells))
    events = None
    if "tensorboard" in parts:
        events = EventFiles(target / "tensorboard", timings=store.timings)
    if "curves" in parts or events:
        _write_curves(cells, files if "curves" in parts else None, events)
    headline: tuple[Path, ...] = ()
    if "tables" in parts or "headline" in parts:
        data = collect(store, reference=reference)
        for name, table in _tables(store, cells, data) if "tables" in parts else ():
            files.write(name, table)
        if "headline" in parts:
            headline = write_headline(data, target)
    runs = events.count if events else 0
    return ExportFiles(target, files.written, headline, runs, store.problems)


def _write_curves(
    cells: Sequence[Cell], files: TableFiles | None, events: EventFiles | None
) -> None:
    """Read every shard once, for the table and for the event files."""
    with ExitStack() as stack:
        append = stack.enter_context(files.open("curves", CURVES)) if files else None
        for rows in stored_rows(cells):
            if append:
                append(curve_table(rows))
            if events:
                events.write(rows)


def _tables(
    store: Store, cells: Sequence[Cell], data: ReportData
) -> Iterator[tuple[str, pa.Table]]:
    yield "runs", run_table(store, cells)
    yield "speedups", from_pandas(speedup_table(data.results))
    for name, table in data.saved_tables():
        yield name, from_pandas(table)


def _about(store: Store, cells: Sequence[Cell]) -> dict[str, object]:
    """Return facts about a store that a file must say when it is read alone."""
    manifest = store.manifest
    kinds = {cell.data.provenance for cell in cells}
    names = ("protocol", "protocol_hash", "plan_hash", "created", "command", "versions", KEY)
    facts = {name: manifest.get(name) for name in names}
    return {
        "kind": "velodrome-export",
        "suite": dict(manifest["suite"]),
        "data": data_text(kinds or [manifest.get("data")]),
        **facts,
    }


def _check(given: Sequence[str], kind: str, known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise UnknownNameError(kind, name, known)
    if not given:
        raise VelodromeError(f"name at least one {kind}: {', '.join(known)}")
