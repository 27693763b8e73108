"""A display that also tells trackers of every run that is finished."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import pandas as pd

from velodrome.foundation.errors import StoreError, wants_traceback
from velodrome.results.store.plan import Plan
from velodrome.results.store.shard import ShardRecord
from velodrome.results.store.store import Store
from velodrome.suites.running.engines.base import SHARD, Job
from velodrome.suites.running.progress import Progress
from velodrome.suites.running.trackers.base import ExperimentTracker, TrackedRun


@contextlib.contextmanager
def followed(
    display: Progress, given: Sequence[ExperimentTracker], store: Store
) -> Iterator[Progress]:
    """Yield what to report to while a run goes on, all its stages: the display, or `Following`."""
    if not given:
        yield display
        return
    following = Following(display, given, store)
    following.start()
    try:
        yield following
    finally:
        following.close()


class Following:
    """Passes everything on to a display, and finished runs to trackers.

    A tracker that fails is left out from there on: training goes on, and the store has everything.

    Args:
      display: Shows the run.
      store: Where the runs are written.
    """

    def __init__(self, display: Progress, given: Sequence[ExperimentTracker], store: Store):
        self._display = display
        self._trackers = list(given)
        self._store = store

    def start(self) -> None:
        """Tell the trackers that the run begins."""
        manifest = self._store.manifest
        protocol = {f"protocol.{k}": v for k, v in manifest.get("protocol", {}).items()}
        suite = manifest["suite"].get("name", "")
        settings = {"suite": suite, "store": str(self._store.directory), **protocol}
        self._tell(lambda tracker: tracker.on_start(settings))

    def close(self) -> None:
        """Tell the trackers that the run is over."""
        self._tell(lambda tracker: tracker.on_end())

    def begin(self, plan: Plan, jobs: Sequence[Job]) -> None:
        self._display.begin(plan, jobs)

    def end(self) -> None:
        self._display.end()

    def job_started(self, job: Job) -> None:
        self._display.job_started(job)

    def job_progress(self, job: Job, fraction: float, last_loss: Mapping[int, float]) -> None:
        self._display.job_progress(job, fraction, last_loss)

    def job_finished(self, job: Job) -> None:
        self._display.job_finished(job)
        shard = self._store.record(job.id) if job.kind == SHARD and self._trackers else None
        if shard is None:
            return
        try:
            runs = list(self._runs(shard))
        except StoreError as error:
            self.say(f"No tracker gets the curves of {job.name}: {error}")
            return
        for run, curve in runs:
            self._tell(lambda tracker, run=run, curve=curve: tracker.on_curve(run, curve))

    def job_failed(self, job: Job, kind: str, message: str, *, again: bool) -> None:
        self._display.job_failed(job, kind, message, again=again)

    def say(self, message: str) -> None:
        self._display.say(message)

    def _runs(self, shard: ShardRecord) -> Iterator[tuple[TrackedRun, pd.DataFrame]]:
        cell = self._store.plan.cell(shard.cell)
        rows = shard.table().to_pandas()
        rows["name"] = rows["split"].astype(str) + " " + rows["metric"].astype(str)
        for lane in shard.lanes:
            mine = rows.loc[rows["lane"] == lane.lane]
            if mine.empty:
                continue  # it diverged before its first evaluation
            run = TrackedRun(
                suite=self._store.manifest["suite"].get("name", ""),
                task=cell.task.label,
                family=cell.task.family,
                data=shard.data.provenance,
                optimizer=shard.optimizer.label or shard.optimizer.name,
                seed=lane.seed,
                horizon=cell.horizon,
                cell=cell.id,
                hyperparameters=lane.hyperparameters,
            )
            curve = mine.pivot(index="step", columns="name", values="value")
            yield run, curve.rename_axis(columns=None)

    def _tell(self, what: Callable[[ExperimentTracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                what(tracker)
            except Exception as error:  # another's code may raise anything
                if wants_traceback():
                    raise
                self._trackers.remove(tracker)
                self.say(
                    f"{type(tracker).__name__} failed, and is left out from here on "
                    f"({type(error).__name__}: {error}). The store has all curves: `velodrome "
                    "export` writes them."
                )
