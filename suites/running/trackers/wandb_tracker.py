"""Curves in Weights & Biases: one run there for each run here."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from velodrome.foundation.extras import optional
from velodrome.suites.running.trackers.base import TrackedRun


class WandbTracker:
    """Logs each finished run; ``WANDB_MODE=offline`` writes files for ``wandb sync``.

    The runs of an optimizer on a task are a group. A run that is continued is resumed by its id.

    Args:
      project: The project there. Empty: ``velodrome``.

    Raises:
      VelodromeError: The library is not installed.
    """

    def __init__(self, project: str = ""):
        self._wandb = optional("wandb", extra="wandb", needed_by="the tracker wandb")
        self._project = project or "velodrome"
        self._settings: dict[str, object] = {}

    def on_start(self, settings: Mapping[str, object]) -> None:
        self._settings = dict(settings)

    def on_curve(self, run: TrackedRun, curve: pd.DataFrame) -> None:
        """Log all steps of a run. Blocks until its files are written."""
        with self._wandb.init(
            project=self._project,
            id=run.id,
            name=run.name,
            group=f"{run.task} {run.optimizer}",
            job_type=run.family,
            config={**self._settings, **run.facts},
            resume="allow",
            reinit="create_new",
        ) as logged:
            for step, row in zip(curve.index.tolist(), curve.to_dict("records"), strict=True):
                known = {str(name): value for name, value in row.items() if not math.isnan(value)}
                logged.log(known, step=step)

    def on_end(self) -> None:
        pass
