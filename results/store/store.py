"""`Store`: a directory with a growing set of runs, and the questions that were asked of it.

Layout::

    questions/<number>-<key>.json what was asked: suite, protocol, runs, and the shards they are in
    shards/<shard id>.parquet     curves; `shard_file` reads and writes them
    shards/pack-<hash>.parquet    many shards in one file
    states/<shard id>.npz         the end of runs that can go on
    timings/<cell id>.json        seconds per step, measured apart
    timings/<cell id>.failed.json why they could not be measured
    timings/all.json              all of these, packed
    failures/<shard id>.json      what went wrong
    report/                       figures and tables

A store is opened as a view of one question, by default the last one asked. Opening never writes.
Files are written under a temporary name and renamed.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np

from velodrome.foundation.errors import StoreError
from velodrome.foundation.files import atomic_write_json, resolved
from velodrome.results.store import legacy, question, shard_file, validation
from velodrome.results.store.baseline_mode import BaselineMode
from velodrome.results.store.cell import Cell, planned_cells
from velodrome.results.store.json_files import (
    PACKED,
    SCHEMA,
    Json,
    Problem,
    Problems,
    checked,
    needed,
    read_packed,
    read_records,
)
from velodrome.results.store.plan import Plan
from velodrome.results.store.question import Question
from velodrome.results.store.records import Failure, Manifest, ShardMetadata, SuiteRecord, Timing
from velodrome.results.store.shard import ShardRecord
from velodrome.results.store.shard_files import ShardFiles

T = TypeVar("T")

FAILED = ".failed"
"""Ends the name of a timing's file, before its suffix, that says why there is no timing."""


class Store:
    """Runs, seen as the answer to one question; use `create` or `open`.

    Attributes:
      question: The question's name; its number comes first.
      manifest: Suite, protocol, data, versions, device.
      plan: The question's cells with their runs, and the shards that have them.
      suite: The whole suite.

    Examples:
      >>> store = velodrome.Store.open("runs/mine", read_only=True)
      >>> [cell.label for cell in store.cells()]
      ['Synthetic Adam', 'Synthetic optimizer A', 'Synthetic Adam', 'Synthetic optimizer A']
    """

    def __init__(
        self,
        directory: Path,
        asked: Question,
        *,
        read_only: bool = False,
        problems: Problems | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.read_only = read_only
        self._asked = asked
        self._problems = problems or Problems()
        self._aliases = aliases or {}
        self.files = ShardFiles(
            directory / "shards",
            foreign=lambda shard, said: validation.foreign(shard, said, self.plan),
            aliases=self._aliases,
            problems=self._problems,
        )

    @property
    def question(self) -> str:
        """The name of the question: its number, which changes when it is asked again, and key."""
        return self._asked.name

    @property
    def manifest(self) -> Manifest:
        return self._asked.manifest

    @property
    def plan(self) -> Plan:
        return self._asked.plan

    @property
    def suite(self) -> SuiteRecord:
        return self._asked.suite

    @classmethod
    def create(
        cls,
        directory: str | os.PathLike[str],
        *,
        manifest: Json,
        plan: Plan,
        suite: Json,
    ) -> Store:
        """Ask a question of a store, which is made if there is none.

        A question that was asked before keeps its manifest, gets the plan, and is the last one
        again.

        Args:
          directory: Missing folders are made.
          manifest: At least ``suite: {name, hash}`` and ``protocol_hash``.
          plan: Its runs are what is asked.
          suite: Plain JSON.

        Raises:
          StoreError: The directory holds a store of an older kind, or shards of an unknown one, or
            is a file.
          VelodromeError: It cannot be written.
        """
        path = resolved(directory)
        said = question.check_manifest(manifest, path)
        whole = checked(SuiteRecord, suite, path)
        if cls.exists(path):
            cls.check_current(path)
        elif any((path / "shards").glob("*.parquet")):
            raise StoreError(
                f"{path} has shards but no questions, so nobody can say what they are: "
                "choose an empty directory, or put its folder questions back"
            )
        key = question.key_of(said, plan)
        known, new = question.path_of(path, key), question.next_path(path, key)
        if known is None:
            return cls(path, question.write(Question(new, said, whole, plan)))
        with needed(question.how_without(path, known)):
            asked = question.read(known)
        if known != question.paths(path)[-1]:
            known.rename(new)
            asked = dataclasses.replace(asked, path=new)
        store = cls(path, asked)
        store.take_plan(plan)
        return store

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str],
        *,
        question_name: str | int | None = None,
        read_only: bool = False,
    ) -> Store:
        """Open an existing store; write nothing.

        Args:
          question_name: Name or number of the question to answer; default: the last one asked.
          read_only: Whether the writing methods refuse to write. Then damaged parts of its JSON
            that reports can do without are problems, and no errors.

        Raises:
          StoreError: There is no store or no such question, its JSON is damaged, or it has another
            schema.
        """
        path, problems = resolved(directory), Problems()
        report = problems.add if read_only else None
        asked = question.paths(path)
        if not asked and not legacy.exists(path):
            raise StoreError(
                f"{path} is not a result store: it has no questions. "
                "Give the directory that was passed to `velodrome run --out`"
            )
        if not asked:
            with needed():
                old, aliases = legacy.read(path, report=report)
            return cls(path, old, read_only=True, problems=problems, aliases=aliases)
        file = question.chosen(path, asked, question_name)
        with needed(question.how_without(path, file)):
            found = question.read(file, report=report)
        return cls(path, found, read_only=read_only, problems=problems)

    @staticmethod
    def exists(directory: str | os.PathLike[str]) -> bool:
        """Whether there is a store; raise a `StoreError` if there is a file of that name."""
        path = resolved(directory)
        if path.exists() and not path.is_dir():
            raise StoreError(
                f"{path} is a file, but a store of results is a directory: choose another name"
            )
        return legacy.exists(path) or bool(question.paths(path))

    @staticmethod
    def check_current(directory: Path) -> None:
        """Raise a `StoreError` if a store was written by an older velodrome."""
        if legacy.exists(directory) and not question.paths(directory):
            raise StoreError(
                f"{directory} was written by an older velodrome, which kept one question in a "
                f"store. Convert it first: velodrome compact {directory}. Nothing is lost"
            )

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Truncated, damaged and foreign files, which are skipped, wholly or in part.

        Found by reading everything but curves, and all curves that were asked for so far.
        """
        _ = self.shards(), self.timings, self.timing_failures, self.failures
        return self._problems.present()

    @property
    def baseline(self) -> str:
        """The name of the baseline."""
        return self.manifest.get("protocol", {}).get("baseline", "adam")

    @property
    def baseline_mode(self) -> BaselineMode:
        """How far its sweep is run."""
        return BaselineMode.parse(self.manifest.get("baseline_mode", "exhaustive"))

    def questions(self) -> list[str]:
        """Return the names of all questions, the last one asked first."""
        return [path.stem for path in reversed(question.paths(self.directory))]

    def asked(self, manifest: Manifest, plan: Plan) -> Store:
        """Return this store as the answer to a question that is not written down."""
        path = self.directory / question.FOLDER / f"{question.key_of(manifest, plan)}.json"
        asked = Question(path, manifest, self.suite, plan)
        return Store(
            self.directory, asked, read_only=True, problems=self._problems, aliases=self._aliases
        )

    def take_plan(self, plan: Plan) -> None:
        """Replace the plan: the same runs, in other shards.

        Raises:
          VelodromeError: It cannot be written.
        """
        if plan != self.plan:
            self._rewrite(dataclasses.replace(self._asked, plan=plan))

    def take_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest.

        Raises:
          VelodromeError: It cannot be written.
        """
        said = question.check_manifest(manifest, self._asked.path)
        self._rewrite(dataclasses.replace(self._asked, manifest=said))

    def _rewrite(self, asked: Question) -> None:
        self.check_writable()
        # Another run may have asked it again since, so that it has another number.
        now = question.path_of(self.directory, asked.path.stem.partition("-")[2])
        self._asked = question.write(dataclasses.replace(asked, path=now or asked.path))

    # Writing

    def write_shard(self, shard_id: str, columns: Mapping[str, np.ndarray], metadata: Json) -> Path:
        """Write one shard atomically and clear the record of its earlier failure.

        Args:
          columns: ``lane``, ``step``, ``split``, ``metric``, ``value``; equally long arrays.
          metadata: ``cell``, ``lanes``, ``data`` and whatever else is known; ``schema`` and
            ``shard`` are filled in.

        Returns:
          The path of the file.

        Raises:
          StoreError: The shard is not as it is planned, or is malformed.
          VelodromeError: It cannot be written; nothing is left half-written.
        """
        self.check_writable()
        path = self.files.path(shard_id)
        full = {"schema": SCHEMA, "shard": shard_id, **metadata}
        reason = validation.foreign(shard_id, checked(ShardMetadata, full, path), self.plan)
        if reason:
            raise StoreError(f"the shard {shard_id} does not belong in {self.directory}: {reason}")
        shard_file.write(path, columns, full)
        self._problems.solved(path)
        (self.directory / "failures" / f"{shard_id}.json").unlink(missing_ok=True)
        return path

    def write_timing(self, cell_id: str, record: Json) -> Path:
        """Write the timing of a cell: ``seconds_per_step``, ``baseline_seconds_per_step``, ..."""
        path = self._write_record("timings", cell_id, {"cell": cell_id, **record})
        (self.directory / "timings" / f"{cell_id}{FAILED}.json").unlink(missing_ok=True)
        return path

    def write_timing_failure(self, cell_id: str, kind: str, message: str) -> Path:
        """Write why a cell could not be timed, until `write_timing` clears it.

        Args:
          kind: What went wrong in one word, such as ``oom``, ``killed``, ``error``.
          message: For the reader of the report.

        Returns:
          The path of the file: ``{cell, kind, message, time}``, the time in UTC (ISO 8601).
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = {"cell": cell_id, "kind": kind, "message": message, "time": now}
        return self._write_record("timings", f"{cell_id}{FAILED}", record)

    def write_failure(self, shard_id: str, record: Json) -> Path:
        """Write why a shard failed: ``kind``, ``message``, ``time``, ``cell``."""
        return self._write_record("failures", shard_id, {"shard": shard_id, **record})

    # Reading

    def has_shard(self, shard_id: str) -> bool:
        """Return whether this shard is there; add a bad file of it to the problems."""
        return self.record(shard_id) is not None

    def record(self, shard_id: str) -> ShardRecord | None:
        """Return the valid shard with that id, or None; add a bad file of it to the problems."""
        return self.files.one(shard_id)

    def shards(self) -> tuple[ShardRecord, ...]:
        """Return all valid shards, also those of other questions, by id; only footers are read."""
        return self.files.all()

    def state_path(self, shard_id: str) -> Path:
        """Return the file with the end state of a shard's runs, whether it exists or not."""
        return self.directory / "states" / f"{shard_id}.npz"

    def cells(self, plan: Plan | None = None, *, whole: bool = False) -> Iterator[Cell]:
        """Yield all planned cells in the plan's order, also those without any results.

        A cell's curves are read only when asked for, so memory does not grow with the store.

        Args:
          plan: Default: the question's.
          whole: Whether only runs count that have reached their horizon, also in stages.
        """
        return planned_cells(
            plan or self.plan,
            shards=self.shards(),
            failures=self.failures,
            report=self._problems.add,
            heldout_every=self.manifest.get("protocol", {}).get("heldout_every", 0),
            partial=self.baseline if self.baseline_mode.staged and not whole else "",
        )

    @property
    def timings(self) -> dict[str, Timing]:
        """Timing records by cell id, of the question's cells."""
        found = self._read_records(Timing, "timings")
        return {cell: found[name] for name, cell in self.cell_names().items() if name in found}

    @property
    def timing_failures(self) -> dict[str, Failure]:
        """Why cells could not be timed, by cell id."""
        found = self._read_records(Failure, "timings", f"*{FAILED}.json")
        names = {f"{name}{FAILED}": cell for name, cell in self.cell_names().items()}
        return {cell: found[name] for name, cell in names.items() if name in found}

    @property
    def failures(self) -> dict[str, Failure]:
        """Failure records by shard id, of the question's shards."""
        found = self._read_records(Failure, "failures")
        return {
            name: self._of_today(record)
            for name, record in found.items()
            if self.plan.has_shard(name)
        }

    # Parts

    def _of_today(self, record: Failure) -> Failure:
        known = self._aliases.get(record.get("cell", ""))
        return record if known is None else {**record, "cell": known}

    def cell_names(self) -> dict[str, str]:
        """Return the ids of the question's cells by their names in this store's files."""
        cells = {cell.id for cell in self.plan.cells}
        old = {name: cell for name, cell in self._aliases.items() if cell in cells}
        return old or {cell: cell for cell in cells}

    def check_writable(self) -> None:
        """Raise a `StoreError` if the store was opened for reading only."""
        if self.read_only:
            raise StoreError(f"the store {self.directory} was opened for reading only")

    def _write_record(self, folder: str, name: str, record: Json) -> Path:
        self.check_writable()
        path = self.directory / folder / f"{name}.json"
        atomic_write_json(path, dict(record))
        return path

    def _read_records(self, kind: type[T], folder: str, pattern: str = "*.json") -> dict[str, T]:
        path, report = self.directory / folder, self._problems.add
        found = read_records(kind, path, report, pattern=pattern)
        return {**read_packed(kind, path / PACKED, report), **found}
