"""Run shards on a SLURM cluster: an array of workers that take jobs from the store.

submitit starts them, tells them when SLURM is about to end them, and queues them again. The
process that starts the array only watches: if it ends, the workers go on.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from velodrome.foundation.errors import SpecError, VelodromeError
from velodrome.foundation.extras import optional
from velodrome.foundation.files import atomic_write_json
from velodrome.results.store.claims import Claims
from velodrome.results.store.store import Store
from velodrome.suites.planning.spread import Spread, setting_of, spread_of
from velodrome.suites.running.engines.base import CHECKPOINT_SECONDS, Job, Listener
from velodrome.suites.running.engines.processes import GRACE_SECONDS, ProcessEngine
from velodrome.suites.running.engines.watch import Watch
from velodrome.suites.suite import Suite

if TYPE_CHECKING:
    # Optional: pip install velodrome[slurm].
    import submitit  # pyright: ignore[reportMissingImports]

FOLDER = "slurm"

#: What a worker takes beside the predicted memory of its jobs.
_BASE_GB = 2.0
_LOOK_SECONDS = 5.0
#: How often a worker that ran out of its time is queued again.
_MOST_TIMEOUTS = 1000


class SlurmEngine:
    """Runs jobs in the workers of a SLURM array.

    Args:
      suite: The suite as it is asked for here.
      workers: Tasks of the array; each takes one core.
      minutes: How long each may run; it is queued again while something is left.
      partition: Where; the cluster's default if it is None.
      gpus: GPUs of each worker; 0 computes on the CPU.
      spread: The GPUs of a worker that train each run together.
      cluster: ``"slurm"``, or ``"local"`` to try it without a cluster.

    Raises:
      VelodromeError: submitit is not installed, or there is no SLURM here.
    """

    def __init__(
        self,
        suite: Suite,
        *,
        workers: int,
        minutes: int = 60,
        partition: str | None = None,
        gpus: int = 0,
        cluster: str = "slurm",
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        spread: Spread | None = None,
    ):
        self.suite = suite
        self.workers = workers
        self.minutes = minutes
        self.partition = partition
        self.gpus = gpus
        self.cluster = cluster
        self.checkpoint_seconds = checkpoint_seconds
        self.spread = spread
        self._submitit = _import_submitit()

    def run(self, store: Store, jobs: Sequence[Job], listener: Listener) -> None:
        """Start the workers and watch them; see `Engine`.

        Raises:
          KeyboardInterrupt: The user asked to stop watching; the workers go on.
          VelodromeError: All workers have ended, and something is left.
        """
        claims = Claims(store.directory)
        since = claims.now()
        watch = Watch(store, jobs, listener, claims, since)
        folder = store.directory.resolve() / FOLDER
        settings = folder / f"{claims.session}.json"
        atomic_write_json(
            settings,
            {
                "directory": str(store.directory.resolve()),
                "question": store.question.partition("-")[2],
                "suite": self.suite.to_json(),
                "jobs": [vars(job) for job in jobs],
                "since": since,
                "platform": "" if self.gpus else "cpu",
                "checkpoint_seconds": self.checkpoint_seconds,
                "spread": setting_of(self.spread),
            },
        )
        executor = self._executor(folder / "logs", jobs)
        with executor.batch():
            array = [executor.submit(ArrayWorker(str(settings))) for _ in range(self.workers)]
        names = sorted({job.job_id.partition("_")[0] for job in array})
        listener.say(
            f"Started {self.workers} workers on {self.cluster}, as {', '.join(names)}; their logs "
            f"are in {folder / 'logs'}. They go on without this process: `velodrome status "
            f"{store.directory}` shows them, and `scancel {' '.join(names)}` stops them."
        )
        while watch.look():
            if not watch.busy:
                watch.close()  # all may be done, while some of the array still wait for a place
            if all(job.done() for job in array) and watch.look():
                watch.close()
                if watch.look():
                    raise VelodromeError(
                        f"all workers have ended, and not everything is done: their logs in "
                        f"{folder / 'logs'} say why. The same command starts others."
                    )
            time.sleep(_LOOK_SECONDS)
        if self.cluster == "local":  # they are children of this process
            for job in array:
                job.wait()

    def close(self) -> None:
        """Do nothing: the workers end when nothing is left."""

    def _executor(self, folder: Path, jobs: Sequence[Job]) -> submitit.AutoExecutor:
        try:
            executor = self._submitit.AutoExecutor(
                folder=folder, cluster=self.cluster, slurm_max_num_timeout=_MOST_TIMEOUTS
            )
        except RuntimeError as error:
            raise VelodromeError(
                "there is no SLURM on this machine (no `srun` command): run on a login node of "
                "the cluster."
            ) from error
        memory = max((job.memory_bytes for job in jobs), default=0) / 1e9
        executor.update_parameters(
            name="velodrome",
            timeout_min=self.minutes,
            cpus_per_task=1,
            gpus_per_node=self.gpus,
            slurm_mem=f"{math.ceil(_BASE_GB + 1.5 * memory)}GB",
            slurm_array_parallelism=self.workers,
            **({"slurm_partition": self.partition} if self.partition else {}),
        )
        return executor


class ArrayWorker:
    """What a task of the array does: pull jobs until none is left, or until it has to go.

    Args:
      settings: Path of what `SlurmEngine` wrote for all workers.
    """

    def __init__(self, settings: str):
        self._settings = settings
        self._engine: ProcessEngine | None = None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def __call__(self) -> None:
        # Signals reach the main thread alone, which therefore only waits. SLURM sends SIGTERM to
        # what it preempts, which it queues again by itself, and to what the user cancels.
        signal.signal(signal.SIGTERM, lambda *_: self._stop())
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        while self._thread.is_alive():
            self._thread.join(1.0)
        if self._error is not None:
            raise self._error

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Save, before the time is over; submitit calls it, and queues the result."""
        self._stop()
        if self._thread is not None:
            self._thread.join(GRACE_SECONDS + 5)
        return _import_submitit().helpers.DelayedSubmission(ArrayWorker(self._settings))

    def _stop(self) -> None:
        if self._engine is not None:
            self._engine.stop.set()

    def _work(self) -> None:
        try:
            settings: dict[str, Any] = json.loads(Path(self._settings).read_bytes())
            self._engine = ProcessEngine(
                int(os.environ.get("SLURM_CPUS_PER_TASK", "1")),
                Suite.from_json(settings["suite"]),
                platform=settings["platform"],
                checkpoint_seconds=settings["checkpoint_seconds"],
                since=settings["since"],
                spread=spread_of(settings["spread"]),
            )
            jobs = [Job(**job) for job in settings["jobs"]]
            store = Store.open(settings["directory"], question_name=settings["question"])
            self._engine.run(store, jobs, _Log())
            self._engine.close()
        except KeyboardInterrupt:
            pass  # asked to stop; all is saved
        except BaseException as error:  # raised again by the main thread
            self._error = error


class _Log:
    """A listener that writes into the log of a worker how jobs end, here or elsewhere."""

    def job_started(self, job: Job) -> None:
        pass

    def job_progress(self, job: Job, fraction: float, last_loss: object) -> None:
        pass

    def job_finished(self, job: Job) -> None:
        self.say(f"{job.name} is done")

    def job_failed(self, job: Job, kind: str, message: str, *, again: bool) -> None:
        self.say(f"{job.name} failed ({kind}): {message}{' (tried once more)' if again else ''}")

    def say(self, message: str) -> None:
        print(message, file=sys.stderr, flush=True)


def minutes_of(text: str) -> int:
    """Return the minutes that a time stands for, as SLURM writes it.

    >>> minutes_of("90"), minutes_of("2:00:00"), minutes_of("1-12:00:00"), minutes_of("20:30")
    (90, 120, 2160, 21)

    Raises:
      SpecError: It is no time.
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if found is None:
        raise SpecError("time", text, "a time as SLURM writes it, such as 90 (minutes) or 2:00:00")
    days, *parts = (int(part) if part else None for part in found.groups())
    given = [part for part in parts if part is not None]
    if days is not None or len(given) == 3:
        hours, minutes, seconds = (*given, 0, 0)[:3]
    else:
        hours, (minutes, seconds) = 0, (*given, 0)[:2]
    return max(1, math.ceil(((days or 0) * 24 + hours) * 60 + minutes + seconds / 60))


def _import_submitit() -> Any:
    return optional("submitit", extra="slurm", needed_by="--engine slurm")
