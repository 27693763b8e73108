"""Curves in MLflow: one run there for each run here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

import pandas as pd

from velodrome.foundation.extras import optional
from velodrome.suites.running.trackers.base import TrackedRun

#: MLflow takes no more numbers in one call.
_BATCH = 1_000


class MlflowTracker:
    """Logs each finished run where ``MLFLOW_TRACKING_URI`` says.

    A run that is continued goes on in the run that has its id as the tag ``velodrome.run``.

    Args:
      experiment: The experiment there. Empty: ``velodrome``.

    Raises:
      VelodromeError: The library is not installed.
    """

    def __init__(self, experiment: str = ""):
        mlflow = optional("mlflow", extra="mlflow", needed_by="the tracker mlflow")
        self._client = mlflow.MlflowClient()
        self._entities = mlflow.entities
        self._name = experiment or "velodrome"
        self._experiment = ""
        self._settings: dict[str, object] = {}

    def on_start(self, settings: Mapping[str, object]) -> None:
        self._settings = dict(settings)
        found = self._client.get_experiment_by_name(self._name)
        self._experiment = (
            self._client.create_experiment(self._name) if found is None else found.experiment_id
        )

    def on_curve(self, run: TrackedRun, curve: pd.DataFrame) -> None:
        """Log all steps of a run."""
        now = int(datetime.now(UTC).timestamp() * 1000)
        metrics = [
            self._entities.Metric(str(name), value, now, step)
            for name, column in curve.items()
            for step, value in zip(curve.index.tolist(), column.tolist(), strict=True)
            if not math.isnan(value)
        ]
        number = self._run(run)
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(number, metrics=metrics[start : start + _BATCH])
        self._client.set_terminated(number)

    def on_end(self) -> None:
        pass

    def _run(self, run: TrackedRun) -> str:
        same = f"tags.`velodrome.run` = '{run.id}'"
        tags = {"velodrome.run": run.id}
        (there,) = self._client.search_runs([self._experiment], same, max_results=1) or [
            self._client.create_run(self._experiment, tags=tags, run_name=run.name)
        ]
        # One that was killed after it had made the run has not logged them all.
        facts = {**self._settings, **run.facts}
        params = [
            self._entities.Param(name, str(value))
            for name, value in facts.items()
            if name not in there.data.params
        ]
        if params:
            self._client.log_batch(there.info.run_id, params=params)
        return there.info.run_id
