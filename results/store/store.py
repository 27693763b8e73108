"""`Store`: a directory that holds the results of one suite under one protocol.

Layout::

    manifest.json  suite.json  plan.json
    shards/<shard id>.parquet     curves; `shard_file` reads and writes them
    timings/<cell id>.json        seconds per step, measured apart
    timings/<cell id>.failed.json why they could not be measured
    failures/<shard id>.json      what went wrong
    replaced/                     results of code or data that have changed since
    report/                       figures and tables

Opening never writes. Files are written under a temporary name and renamed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np

from velodrome.foundation.errors import StoreError
from velodrome.foundation.files import atomic_write_json, resolved
from velodrome.results.store import shard_file, validation
from velodrome.results.store.baseline_mode import BaselineMode
from velodrome.results.store.cell import Cell, ShardRecord, planned_cells
from velodrome.results.store.json_files import (
    Json,
    Problem,
    Problems,
    checked,
    needed,
    read_json,
    read_records,
)
from velodrome.results.store.plan import Plan
from velodrome.results.store.records import Failure, Manifest, ShardMetadata, SuiteRecord, Timing

T = TypeVar("T")

FAILED = ".failed"
"""Ends the name of a timing's file, before its suffix, that says why there is no timing."""


class Store:
    """Results of one suite under one protocol; use :meth:`create` or :meth:`open`.

    Attributes:
      manifest: Suite, protocol, data, versions, device.
      plan: Cells and shards as they were planned when the store was made.
      suite: The whole suite.
    """

    def __init__(
        self,
        directory: Path,
        *,
        manifest: Manifest,
        plan: Plan,
        suite: SuiteRecord,
        read_only: bool = False,
        problems: Problems | None = None,
    ) -> None:
        self.directory = directory
        self.manifest: Manifest = manifest
        self.plan = plan
        self.suite = suite
        self.read_only = read_only
        self._problems = problems or Problems()

    @classmethod
    def create(
        cls,
        directory: str | os.PathLike[str],
        *,
        manifest: Json,
        plan: Plan,
        suite: Json,
    ) -> Store:
        """Make a store, or open the one that is there if it is of the same suite and protocol.

        An existing store keeps its own plan and manifest: a resumed run takes ``store.plan``, so
        that its curves are those of an undisturbed run.

        Args:
          directory: Missing folders are made.
          manifest: At least ``suite: {name, hash}`` and ``protocol_hash``; ``schema`` and
            ``kind`` are added.
          plan: The plan of a new store.
          suite: Plain JSON.

        Raises:
          StoreError: The directory holds another suite or protocol (the message says what
            differs), or shards of an unknown one, or is a file.
          VelodromeError: It cannot be written.
        """
        path = resolved(directory)
        manifest = {"schema": shard_file.SCHEMA, "kind": validation.KIND, **manifest}
        said = validation.check_manifest(manifest, path)
        whole = checked(SuiteRecord, suite, path / "suite.json")
        if cls.exists(path):
            store = cls.open(path)
            store.check_same(manifest, suite)
            return store
        if any((path / "shards").glob("*.parquet")):
            raise StoreError(
                f"{path} has shards but no manifest.json, so nobody can say what they are: "
                "choose an empty directory, or put its manifest.json back"
            )
        # The manifest comes last: a directory with a manifest is a whole store.
        atomic_write_json(path / "suite.json", dict(suite))
        atomic_write_json(path / "plan.json", plan.to_json())
        atomic_write_json(path / "manifest.json", manifest)
        return cls(path, manifest=said, plan=plan, suite=whole)

    @classmethod
    def open(cls, directory: str | os.PathLike[str], *, read_only: bool = False) -> Store:
        """Open an existing store; write nothing.

        Args:
          read_only: Whether the writing methods refuse to write. Then damaged parts of its JSON
            that reports can do without are problems, and no errors.

        Raises:
          StoreError: There is no store, its JSON is damaged, it has another schema, or its plan
            is not the one that it was made with.
        """
        path, problems = resolved(directory), Problems()
        report = problems.add if read_only else None
        if not (path / "manifest.json").is_file():
            raise StoreError(
                f"{path} is not a result store: it has no manifest.json. "
                "Give the directory that was passed to `velodrome run --out`"
            )
        with needed():
            content = read_json(path / "manifest.json")
            manifest = validation.check_manifest(content, path, report=report)
            content = read_json(path / "suite.json")
            suite = checked(SuiteRecord, content, path / "suite.json", report=report)
            plan = validation.read_plan(path, manifest)
        return cls(
            path, manifest=manifest, plan=plan, suite=suite, read_only=read_only, problems=problems
        )

    @staticmethod
    def exists(directory: str | os.PathLike[str]) -> bool:
        """Whether there is a store; raise a `StoreError` if there is a file of that name."""
        path = resolved(directory)
        if path.exists() and not path.is_dir():
            raise StoreError(
                f"{path} is a file, but a store of results is a directory: choose another name"
            )
        return (path / "manifest.json").exists()

    def check_same(self, manifest: Json, suite: Json) -> None:
        """Raise a `StoreError` if manifest and suite are not the store's; it says what differs."""
        validation.check_same(
            self.directory, there=(self.manifest, self.suite), asked=(manifest, suite)
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

    # Writing

    def write_shard(self, shard_id: str, columns: Mapping[str, np.ndarray], metadata: Json) -> Path:
        """Write one shard atomically and clear the record of its earlier failure.

        Args:
          columns: ``lane``, ``step``, ``split``, ``metric``, ``value``; equally long arrays.
          metadata: ``cell``, ``lanes``, ``data`` and whatever else is known; ``schema``,
            ``shard`` and the hashes of suite, protocol and plan are filled in.

        Returns:
          The path of the file.

        Raises:
          StoreError: The shard is not of this store's plan, suite or protocol, or is malformed.
          VelodromeError: It cannot be written; nothing is left half-written.
        """
        self.check_writable()
        path, plan_hash = self._shard_path(shard_id), self.manifest.get("plan_hash")
        full = {
            "schema": shard_file.SCHEMA,
            "shard": shard_id,
            "suite_hash": self.manifest["suite"]["hash"],
            "protocol_hash": self.manifest["protocol_hash"],
            **({"plan_hash": plan_hash} if plan_hash else {}),
            **metadata,
        }
        reason = self._foreign(shard_id, checked(ShardMetadata, full, path))
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
        """Write why a cell could not be timed, until :meth:`write_timing` clears it.

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
        """Return whether a valid file of this shard is there; add a bad one to the problems."""
        path = self._shard_path(shard_id)
        return path.exists() and self._record(path) is not None

    def shards(self) -> tuple[ShardRecord, ...]:
        """Return all valid shards, sorted by id; only footers are read."""
        paths = sorted((self.directory / "shards").glob("*"))
        # A name with a leading dot is a file that another process is writing.
        records = (self._record(path) for path in paths if not path.name.startswith("."))
        return tuple(record for record in records if record is not None)

    def cells(self) -> Iterator[Cell]:
        """Yield all planned cells in the plan's order, also those without any results.

        A cell's curves are read only when asked for, so memory does not grow with the store.
        """
        return planned_cells(
            self.plan, shards=self.shards(), failures=self.failures, report=self._problems.add
        )

    @property
    def timings(self) -> dict[str, Timing]:
        """Timing records by cell id."""
        found = self._read_records(Timing, "timings")
        return {name: record for name, record in found.items() if not name.endswith(FAILED)}

    @property
    def timing_failures(self) -> dict[str, Failure]:
        """Why cells could not be timed, by cell id."""
        found = self._read_records(Failure, "timings", f"*{FAILED}.json")
        return {name.removesuffix(FAILED): record for name, record in found.items()}

    @property
    def failures(self) -> dict[str, Failure]:
        """Failure records by shard id."""
        return self._read_records(Failure, "failures")

    # Parts

    def _record(self, path: Path) -> ShardRecord | None:
        try:
            if path.suffix != ".parquet":
                raise StoreError(f"{path.name} is not a shard: it is no .parquet file")
            metadata = shard_file.read_metadata(path, report=self._problems.add)
            reason = self._foreign(path.stem, metadata)
            if reason:
                raise StoreError(f"{path.name} is foreign: {reason}")
        except StoreError as error:
            self._problems.add(path, error)
            return None
        return ShardRecord(path, metadata)

    def _foreign(self, shard_id: str, metadata: ShardMetadata) -> str:
        return validation.foreign(shard_id, metadata, manifest=self.manifest, plan=self.plan)

    def _shard_path(self, shard_id: str) -> Path:
        return self.directory / "shards" / f"{shard_id}.parquet"

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
        return read_records(kind, self.directory / folder, self._problems.add, pattern=pattern)
