"""The index of a store: its plan and what the footers of its shards say, kept in one small file.

It is a cache: a file counts if its size and time are those that the index has, else its footer is
read again. Nothing here needs jax, or pandas; pyarrow only for what is new.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import StoreError, WriteError
from velodrome.foundation.files import atomic_write_text
from velodrome.results.store.plan import PlannedCell, Run, Shard

INDEX = "index.json"
_SCHEMA = 4


class Index:
    """What a store plans and has, as often as it is brought up to date.

    Raises:
      StoreError: There is no store, or its plan cannot be read.
    """

    def __init__(self, directory: Path):
        self._directory = directory
        self._content = _read_index(directory / INDEX)

    @property
    def plan(self) -> dict[str, Any]:
        """The cells, and the shards by id.

        A cell is ``[its name in files, task, optimizer, steps]``; a shard ``[place of its cell,
        runs that are done with it, steps]``.
        """
        return self._content["plan"]

    @property
    def files(self) -> dict[str, Any]:
        """The files of shards by name: ``[size, time, shards]``.

        A shard there is ``[id, diverged runs, seconds]``; None stands for those of a damaged file.
        """
        return self._content["files"]

    def update(self) -> None:
        """Bring the index up to date, in memory and, if that is possible, on disk."""
        # What a plan is read from: if it changes, the plan is read again.
        asked = _question_paths(self._directory)
        stamp = _stamp(max(asked, default=self._directory / "plan.json"))  # of an older store
        changed = self._content["stamp"] != stamp
        if changed:
            self._content["plan"] = _plan(self._directory)
            self._content["stamp"] = stamp
        before, now = self._content["files"], {}
        for entry in entries(self._directory / "shards"):
            with contextlib.suppress(OSError):  # just moved away
                found = entry.stat()
                known = before.get(entry.name)
                if known is None or known[:2] != [found.st_size, found.st_mtime_ns]:
                    known = [found.st_size, found.st_mtime_ns, _footer(Path(entry.path))]
                    changed = True
                now[entry.name] = known
        if changed or len(now) != len(before):
            self._content["files"] = now
            with contextlib.suppress(WriteError):  # it only saves time
                atomic_write_text(self._directory / INDEX, json.dumps(self._content))


def entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))


def _question_paths(directory: Path) -> list[Path]:
    return [directory / "questions" / entry.name for entry in entries(directory / "questions")]


def _stamp(path: Path) -> list[object]:
    try:
        found = path.stat()
    except OSError:
        return []
    return [path.name, found.st_size, found.st_mtime_ns]


def _read_index(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        index = json.loads(path.read_bytes())
        if _is_whole(index):
            return index
    return {"schema": _SCHEMA, "stamp": None, "plan": {}, "files": {}}


def _is_whole(index: object) -> bool:
    """Return whether an index has the parts that this version writes."""
    match index:
        case {"schema": schema, "stamp": _, "plan": dict(plan), "files": dict(files)}:
            parts = schema == _SCHEMA and {"cells", "shards"} <= plan.keys()
            return parts and all(isinstance(one, list) and len(one) == 3 for one in files.values())
    return False


def _plan(directory: Path) -> dict[str, Any]:
    from velodrome.results.store.store import Store  # noqa: PLC0415 - pyarrow, for a new plan only

    store = Store.open(directory, read_only=True)
    plan, names = store.plan, {cell: name for name, cell in store.cell_names().items()}
    places = {cell.id: at for at, cell in enumerate(plan.cells)}
    # A run that goes on is in several shards, and done with the last.
    last: dict[tuple[str, Run], str] = {}
    for shard in sorted(plan.shards, key=lambda shard: shard.stop):
        last |= {(shard.cell, lane.run): shard.id for lane in shard.lanes}
    asked = Counter(last.get((cell.id, lane.run)) for cell in plan.cells for lane in cell.lanes)
    return {
        "cells": [
            [names[cell.id], cell.task.label, cell.optimizer.label, cell.horizon]
            for cell in plan.cells
        ],
        "shards": {
            shard.id: [places[shard.cell], asked[shard.id], _steps(shard, plan.cell(shard.cell))]
            for shard in plan.shards
        },
    }


def _steps(shard: Shard, cell: PlannedCell) -> int:
    """Return the training steps of a shard that the question asks for; it may have others."""
    runs = {lane.run for lane in cell.lanes}
    return max(0, min(shard.stop, cell.horizon) - shard.start) * sum(
        lane.run in runs for lane in shard.lanes
    )


def _footer(path: Path) -> list[list[object]] | None:
    """Return of each shard its id, how many runs diverged, and its seconds; None if damaged."""
    from velodrome.results.store import shard_file  # noqa: PLC0415 - pyarrow, for new files only

    try:
        several = shard_file.read_metadata(path)
    except StoreError:
        return None
    return [
        [
            said["shard"],
            sum(lane.status == "diverged" for lane in said["lanes"]),
            float(said.get("seconds", 0.0)),
        ]
        for said in several
    ]
