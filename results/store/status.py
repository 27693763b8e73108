"""How far a store is, and who works in it: read without a lock, while others write."""

from __future__ import annotations

import contextlib
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

from velodrome.foundation import checkpoint
from velodrome.foundation.errors import StoreError
from velodrome.results.store.claims import Claims
from velodrome.results.store.index import Index, entries
from velodrome.results.store.json_files import PACKED
from velodrome.results.store.lease import Lease

#: So many records of failures are read, the newest; all are counted.
_MOST_FAILURES = 200


@dataclass(frozen=True)
class CellStatus:
    """How far an optimizer is on a task.

    Attributes:
      runs: How many there are to be; ``done`` and ``failed`` are parts of them.
      diverged: Runs among ``done`` whose loss or parameters stopped being finite.
      working: Workers that are at it.
      interrupted_steps: Training steps in checkpoints of runs that nobody is training.
      best_loss: The lowest last train loss among the runs that are being trained; None if unknown.
      seconds_left: Of one worker, from the shards that are done; None before the first.
    """

    task: str
    optimizer: str
    steps: int
    runs: int
    done: int = 0
    failed: int = 0
    diverged: int = 0
    working: int = 0
    best_loss: float | None = None
    seconds_left: float | None = None
    interrupted_steps: int = 0


@dataclass(frozen=True)
class WorkerStatus:
    """What a worker does: ``kind`` is ``"shard"`` or ``"timing"``.

    Attributes:
      job: The id of the shard, or of the cell that is timed.
      seconds: Since it began this job.
      silent_seconds: Since its last sign of life.
    """

    host: str
    pid: int
    kind: str
    job: str
    task: str
    optimizer: str
    fraction: float
    best_loss: float | None
    seconds: float
    silent_seconds: float


@dataclass(frozen=True)
class Status:
    """How far a store is.

    Attributes:
      fraction: The part of the training steps that is done, those in checkpoints included; of a
        sweep in stages, of those that are planned by now.
      files: Files of shards, of which ``damaged`` cannot be read.
      shards: How many there are to be; ``done`` and ``failed`` are parts of them.
      timed: Cells whose seconds are measured.
      seconds: What the shards that are done took, together.
      seconds_left: With as many workers as now; None if nobody works, or nothing is done yet.
      failures: The messages of the newest failures, each with how many shards it is of.
    """

    directory: str
    fraction: float
    files: int
    damaged: int
    shards: int
    done: int
    failed: int
    runs: int
    runs_done: int
    timed: int
    seconds: float
    seconds_left: float | None
    cells: tuple[CellStatus, ...]
    workers: tuple[WorkerStatus, ...]
    failures: dict[str, int]


@dataclass
class _Planned:
    """A cell of the plan, and what is known of its shards."""

    id: str
    task: str
    optimizer: str
    steps: int
    runs: int = 0
    done: int = 0
    failed: int = 0
    diverged: int = 0
    seconds: float = 0.0
    leases: list[Lease] = field(default_factory=list)
    asked: int = 0
    made: int = 0
    under_way: float = 0.0
    interrupted: float = 0.0

    @property
    def left(self) -> float:
        """Training steps of its shards that are to be made."""
        return self.asked - self.made - self.under_way


class StatusReader:
    """Reads the status of a store, as often as it is asked; see `Status`.

    Raises:
      StoreError: There is no store, or its plan cannot be read.
    """

    def __init__(self, directory: Path):
        self._directory = directory
        self._index = Index(directory)
        self._checkpoints: dict[str, tuple[int, float]] = {}

    def read(self) -> Status:
        """Return how far the store is now."""
        self._index.update()
        plan, files = self._index.plan, self._index.files
        cells = [_Planned(*cell) for cell in plan["cells"]]
        shards: dict[str, list[int]] = plan["shards"]
        for at, runs, steps in shards.values():
            cells[at].runs += runs
            cells[at].asked += steps
        done = set()
        several = [one for _, _, found in files.values() for one in found or ()]
        for shard, diverged, seconds in several:
            if shard in shards and shard not in done:
                done.add(shard)
                at, runs, steps = shards[shard]
                cells[at].done += runs
                cells[at].made += steps
                cells[at].diverged += diverged
                cells[at].seconds += seconds
        failed = [name for name in self._failed() if name in shards and name not in done]
        for name in failed:
            at, runs, _ = shards[name]
            cells[at].failed += runs
        by_id = {cell.id: cell for cell in cells}
        leases = Claims(self._directory, read_only=True).held()
        reached, trained = self._saved(), {lease.id for lease in leases}
        for lease in leases:
            if lease.kind == "shard" and lease.cell in by_id and lease.id not in done:
                by_id[lease.cell].leases.append(lease)
                reached[lease.id] = lease.fraction or reached.get(lease.id, 0.0)
        # A shard that is not of this question counts for nothing.
        for name in reached.keys() & shards.keys() - done:
            at, _, steps = shards[name]
            cells[at].under_way += reached[name] * steps
            if name not in trained:
                cells[at].interrupted += reached[name] * steps
        left = _seconds_left(cells)
        alone = math.fsum(value for value in left if value is not None)
        known = leases and all(value is not None for value in left)
        asked, to_make = sum(cell.asked for cell in cells), math.fsum(cell.left for cell in cells)
        return Status(
            directory=str(self._directory),
            fraction=1 - to_make / asked if asked else 1.0,
            files=len(files),
            damaged=sum(entry[2] is None for entry in files.values()),
            shards=len(shards),
            done=len(done),
            failed=len(failed),
            runs=sum(cell.runs for cell in cells),
            runs_done=sum(cell.done for cell in cells),
            timed=len(self._timed() & set(by_id)),
            seconds=math.fsum(cell.seconds for cell in cells),
            seconds_left=alone / len(leases) if known else None,
            cells=tuple(
                CellStatus(
                    cell.task, cell.optimizer, cell.steps, cell.runs, cell.done, cell.failed,
                    cell.diverged, len(cell.leases), _best(cell.leases), seconds,
                    round(cell.interrupted),
                )
                for cell, seconds in zip(cells, left, strict=True)
            ),
            workers=tuple(_worker(lease, by_id.get(lease.cell)) for lease in leases),
            failures=self._messages(failed),
        )  # fmt: skip

    def _saved(self) -> dict[str, float]:
        """Return the part of interrupted shards that their checkpoints have, by id."""
        found = {}
        for entry in entries(self._directory / "checkpoints"):
            with contextlib.suppress(OSError, StoreError):  # just done after all, or damaged
                written = entry.stat().st_mtime_ns
                if self._checkpoints.get(entry.name, (0, 0.0))[0] != written:
                    position = checkpoint.load_meta(Path(entry.path)).get("position", {})
                    # An older version did not say.
                    fraction = float(position.get("fraction", 0.0))
                    self._checkpoints[entry.name] = written, fraction
                found[entry.name.removesuffix(".npz")] = self._checkpoints[entry.name][1]
        return found

    def _failed(self) -> list[str]:
        found: list[tuple[float, str]] = []
        for entry in entries(self._directory / "failures"):
            with contextlib.suppress(OSError):  # just done after all
                found.append((entry.stat().st_mtime, entry.name.removesuffix(".json")))
        return [name for _, name in sorted(found, reverse=True)]

    def _messages(self, failed: list[str]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for name in failed[:_MOST_FAILURES]:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                path = self._directory / "failures" / f"{name}.json"
                message = str(json.loads(path.read_bytes())["message"])
                counts[message] = counts.get(message, 0) + 1
        return counts

    def _timed(self) -> set[str]:
        folder = self._directory / "timings"
        names = {entry.name.removesuffix(".json") for entry in entries(folder)}
        with contextlib.suppress(OSError, ValueError):
            names.update(json.loads((folder / PACKED).read_bytes()))
        return names


def _seconds_left(cells: list[_Planned]) -> list[float | None]:
    """Return what each cell still takes, at its own pace, its optimizer's, or that of all."""
    sums: dict[str, tuple[float, float]] = {}
    for cell in cells:
        for key in (cell.id, f"optimizer {cell.optimizer}", ""):
            seconds, steps = sums.get(key, (0.0, 0.0))
            sums[key] = seconds + cell.seconds, steps + cell.made
    left: list[float | None] = []
    for cell in cells:
        keys = (cell.id, f"optimizer {cell.optimizer}", "")
        paces = [sums[key][0] / sums[key][1] for key in keys if sums[key][1]]
        left.append(0.0 if not cell.left else cell.left * paces[0] if paces else None)
    return left


def _best(leases: list[Lease]) -> float | None:
    losses = [loss for lease in leases for loss in lease.losses.values() if loss is not None]
    return min(losses, default=None)


def _worker(lease: Lease, cell: _Planned | None) -> WorkerStatus:
    now = time.time()
    return WorkerStatus(
        host=lease.host,
        pid=lease.pid,
        kind=lease.kind,
        job=lease.id,
        task=cell.task if cell else "",
        optimizer=cell.optimizer if cell else "",
        fraction=lease.fraction,
        best_loss=_best([lease]),
        seconds=max(0.0, now - lease.created),
        silent_seconds=max(0.0, now - lease.renewed),
    )
