"""Curves as event files of TensorBoard, written by tensorboardX: no TensorFlow, no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import cast
from urllib.parse import quote

import numpy as np
import pandas as pd

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.files import atomic_path
from velodrome.foundation.tensorboard import EventFile, require_tensorboard
from velodrome.results.export.stored import ShardRows
from velodrome.results.report.context import data_text
from velodrome.results.speedup.outcome import median_seconds
from velodrome.results.store.plan import LaneInfo
from velodrome.results.store.records import Timing

MOST_POINTS = 1_000
"""Most points that are written of a curve; TensorBoard itself shows no more by default."""


_LONGEST = 200


class EventFiles:
    """Writes a folder for each optimizer, grid point and seed, and in it a file for each task.

    A tag names the task, its kind of data, and what was measured, so that TensorBoard has a section
    for each task and draws the optimizers over each other. Times are those of training without
    evaluations, where the step was timed.

    Args:
      directory: Where the folders go.
      timings: Timing records by cell id.

    Raises:
      VelodromeError: tensorboardX is not installed.
    """

    def __init__(self, directory: Path, *, timings: Mapping[str, Timing]):
        require_tensorboard("leave the part tensorboard out")
        self._directory = directory
        self._timings = timings
        self.count = 0

    def write(self, rows: ShardRows) -> None:
        """Write the runs of a shard."""
        frame = rows.table.to_pandas().assign(run=rows.run.to_numpy())
        for number, mine in frame.groupby("run"):
            lane = rows.lanes[int(str(number))]
            self._write_run(rows, lane, mine)

    def _write_run(self, rows: ShardRows, lane: LaneInfo, mine: pd.DataFrame) -> None:
        cell = rows.cell
        second = median_seconds(self._timings.get(cell.id))
        second = second if np.isfinite(second) else 0.0
        start = _time(rows.shard.metadata.get("started"))
        index = cell.task.index
        task = cell.task.label.replace("/", " ")  # a slash would end the section
        section = f"{index:03d} {task} ({data_text([cell.data.provenance])})"
        folder = self._directory / run_name(cell.label, lane)
        with atomic_path(folder / f"events.out.tfevents.{index:03d}.{cell.id}") as temporary:
            file = EventFile(temporary, started=start)
            try:
                for key, part in mine.groupby(["split", "metric"], observed=True):
                    split, metric = cast(tuple[str, str], key)
                    shown = np.linspace(0, len(part) - 1, min(MOST_POINTS, len(part))).astype(int)
                    steps, values = part["step"].to_numpy()[shown], part["value"].to_numpy()[shown]
                    tag = f"{section}/{split} {metric}"
                    for step, value in zip(steps.tolist(), values.tolist(), strict=True):
                        file.add(tag, value, step, at=start + step * second)
            finally:
                file.close()
        self.count += 1


def run_name(label: str, lane: LaneInfo) -> str:
    """Return such as ``Adam, learning_rate=0.001, seed=0``: a name that every system allows."""
    values = [f"{name}={value}" for name, value in sorted(lane.hyperparameters.items())]
    name = quote(", ".join([label, *values, f"seed={lane.seed}"]), safe=" ,=()[]+")
    if len(name) <= _LONGEST:
        return name
    # File systems allow about 250 letters; the hash keeps the names of other runs apart.
    start = re.sub("%.?$", "", name[: _LONGEST - 15])  # no half of an escape
    return f"{start}... {content_hash(name)[:10]}"


def _time(started: object) -> float:
    """Return seconds since 1970; 0 where it is not known."""
    try:
        return datetime.fromisoformat(str(started)).timestamp()
    except ValueError:
        return 0.0
