"""A store in, files for other programs out; every number is the report's or the store's own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from velodrome.foundation.errors import UnknownNameError, VelodromeError
from velodrome.results.analyses.reference import Reference
from velodrome.results.export.events import EventFiles
from velodrome.results.export.headline import write_headline
from velodrome.results.export.runs import CURVES, curve_table, run_table
from velodrome.results.export.speedups import speedup_table
from velodrome.results.export.stored import stored_rows
from velodrome.results.export.tablefile import from_pandas, table_files
from velodrome.results.report.context import data_text
from velodrome.results.report.data import ReportData, collect
from velodrome.results.report.write import with_data
from velodrome.results.speedup.comparison import labelled_cells
from velodrome.results.store.cell import Cell
from velodrome.results.store.combined import open_stores
from velodrome.results.store.json_files import Problem
from velodrome.results.store.provenance import KEY
from velodrome.results.store.store import Store

PARTS = ("tables", "curves", "headline", "tensorboard")
DEFAULT_PARTS = ("tables", "curves", "headline")
FORMATS = ("parquet", "csv")


@dataclass(frozen=True)
class ExportFiles:
    """What an export consists of.

    Attributes:
      directory: where everything is.
      tables: tables by name, with their files and their numbers of rows.
      headline: the table as Markdown and as LaTeX.
      runs: how many event files of TensorBoard were written, into ``tensorboard``.
      problems: files of the stores that were skipped.
    """

    directory: Path
    tables: dict[str, tuple[tuple[Path, ...], int]]
    headline: tuple[Path, ...]
    runs: int
    problems: tuple[Problem, ...]


def write_export(
    directory: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    *,
    parts: Sequence[str] = DEFAULT_PARTS,
    formats: Sequence[str] = FORMATS[:1],
    reference: Reference | None = None,
) -> ExportFiles:
    """Writes the results of a store for other programs; files of the same names are replaced.

    Args:
      directory: the store; or several of the same tasks and protocol, with other optimizers or
        more seeds.
      out: where to write; by default ``export`` inside the (first) store.
      parts: of :data:`PARTS`. ``tables``: everything that the report computes, every run, every
        speedup; ``curves``: every number that was measured; ``headline``: as Markdown and LaTeX;
        ``tensorboard``: the curves as event files, which takes the extra ``tensorboard``.
      formats: of :data:`FORMATS`, for tables and curves.
      reference: published envelopes of the baseline, to compare it with; see
        ``velodrome.results.analyses.reference.load_reference``.

    Raises:
      StoreError: there is no readable store, or several do not belong together.
      UnknownNameError: no such part or format.
      VelodromeError: a file cannot be written, or tensorboardX is not installed.
    """
    _check(parts, "part of an export", PARTS)
    _check(formats, "format of tables", FORMATS)
    several = [directory] if isinstance(directory, str | os.PathLike) else list(directory)
    store = open_stores(several)
    target = Path(out) if out is not None else store.directory / "export"
    cells = labelled_cells(store)
    export = _Export(store, cells, target, tuple(dict.fromkeys(formats)))
    events = None
    if "tensorboard" in parts:
        events = EventFiles(target / "tensorboard", timings=store.timings)
    if "curves" in parts or events:
        export.curves(events, as_table="curves" in parts)
    headline: tuple[Path, ...] = ()
    if "tables" in parts or "headline" in parts:
        data = collect(store, reference=reference)
        if "tables" in parts:
            export.tables(data)
        if "headline" in parts:
            headline = write_headline(data, target)
    count = events.count if events else 0
    return ExportFiles(target, export.written, headline, count, store.problems)


class _Export:
    def __init__(self, store: Store, cells: list[Cell], target: Path, formats: tuple[str, ...]):
        self._store, self._cells = store, cells
        self._target, self._formats = target, formats
        self._about = _about(store, cells)
        self.written: dict[str, tuple[tuple[Path, ...], int]] = {}

    def curves(self, events: EventFiles | None, *, as_table: bool) -> None:
        """Reads every shard once, and writes what is asked for of it."""
        count = 0
        with ExitStack() as stack:
            append = None
            if as_table:
                files = table_files(
                    self._target / "curves", CURVES, formats=self._formats, about=self._about
                )
                append = stack.enter_context(files)
            for rows in stored_rows(self._cells):
                if append:
                    append(curve_table(rows))
                    count += len(rows.table)
                if events:
                    events.write(rows)
        if as_table:
            self._wrote("curves", count)

    def tables(self, data: ReportData) -> None:
        """Writes the report's tables, the runs and the speedups."""
        for name, table in self._tables(data):
            stem = self._target / name
            with table_files(
                stem, table.schema, formats=self._formats, about=self._about
            ) as append:
                append(table)
            self._wrote(name, len(table))

    def _tables(self, data: ReportData) -> Iterator[tuple[str, pa.Table]]:
        yield "runs", run_table(self._store, self._cells)
        yield "speedups", from_pandas(speedup_table(data.results))
        for name, table in data.tables().items():
            # The report's curves are smoothed and thinned for drawing.
            if name != "curves" and (name != "published" or len(table)):
                yield name, from_pandas(with_data(table, data.summary))

    def _wrote(self, name: str, rows: int) -> None:
        paths = tuple(self._target / f"{name}.{kind}" for kind in self._formats)
        self.written[name] = paths, rows


def _about(store: Store, cells: Sequence[Cell]) -> dict[str, Any]:
    """Facts about a store that a file read alone must say."""
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


export = write_export  # the public name, `velodrome.export`
