"""Curves as event files of TensorBoard, while a run goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from velodrome.foundation.files import resolved
from velodrome.foundation.tensorboard import EventFile, require_tensorboard
from velodrome.suites.running.trackers.base import TrackedRun


class TensorBoardTracker:
    """Writes a folder for each run: ``tensorboard --logdir DIR`` shows them.

    Args:
      directory: Empty: ``tensorboard`` in the store.

    Raises:
      VelodromeError: tensorboardX is not installed.
    """

    def __init__(self, directory: str = ""):
        require_tensorboard("leave the tracker tensorboard out")
        self._directory = resolved(directory) if directory else Path()

    def on_start(self, settings: Mapping[str, object]) -> None:
        if self._directory == Path():
            self._directory = Path(str(settings["store"])) / "tensorboard"

    def on_curve(self, run: TrackedRun, curve: pd.DataFrame) -> None:
        folder = self._directory / f"{run.name.replace('/', ' ')[:150]} {run.id}"
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        # The name has the first step: the parts of a run that was continued stay beside each other.
        path = folder / f"events.out.tfevents.{min(curve.index.tolist()):09d}.{run.id}"
        file = EventFile(path, started=now)
        try:
            for name, column in curve.items():
                split, _, metric = str(name).partition(" ")
                for step, value in zip(curve.index.tolist(), column.tolist(), strict=True):
                    if not math.isnan(value):
                        file.add(f"{split}/{metric}", value, step, at=now)
        finally:
            file.close()

    def on_end(self) -> None:
        pass
