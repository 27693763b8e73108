"""Run shards in Ray actors, on one machine or many.

For each actor this process has a thread with the loop of all workers: it claims a job in the store
and hands it to the actor, which does it in a store of its own and returns the files. So nothing
needs a shared folder; where there is one, checkpoints go into the store's, and survive the actor.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.files import atomic_write_bytes
from velodrome.foundation.interrupts import interrupts
from velodrome.foundation.ray_cluster import join_ray
from velodrome.results.store.claims import Claims
from velodrome.results.store.store import Store
from velodrome.suites.planning.spread import Spread, setting_of
from velodrome.suites.running.engines.base import (
    ATTEMPTS,
    CHECKPOINT_SECONDS,
    SHARD,
    Job,
    Listener,
)
from velodrome.suites.running.engines.outcomes import (
    JobFailedError,
    WorkerLostError,
    record,
)
from velodrome.suites.running.engines.pull import Worker
from velodrome.suites.running.engines.ray_actor import Actor, Files, small_files
from velodrome.suites.running.engines.watch import Watch
from velodrome.suites.suite import Suite
from velodrome.suites.training.shard import Control, Stopped

#: What an actor takes beside the predicted memory of its jobs.
_BASE_BYTES = 1_000_000_000
_LOOK_SECONDS = 1.0

#: Seconds that actors have to save and stop.
_GRACE_SECONDS = 20.0


class RayEngine:
    """Runs jobs in Ray actors.

    Args:
      suite: The suite as it is asked for here.
      workers: Actors; each takes one core. Default: as many as the cluster has cores.
      address: Of the cluster; see `join_ray`.
      gpus: GPUs of each actor, perhaps a part of one; 0 computes on the CPU.
      spread: The devices of an actor that train each run together.
    """

    def __init__(
        self,
        suite: Suite,
        *,
        workers: int | None = None,
        address: str | None = None,
        gpus: float = 0.0,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        spread: Spread | None = None,
    ):
        self.suite = suite
        self.workers = workers
        self.address = address
        self.gpus = gpus
        self.checkpoint_seconds = checkpoint_seconds
        self.spread = spread

    def run(self, store: Store, jobs: Sequence[Job], listener: Listener) -> None:
        """Run all jobs; see `Engine`."""
        ray, owned = join_ray("--engine ray", address=self.address)
        try:
            self._run(ray, store, jobs, listener)
        finally:
            if owned:
                ray.shutdown()

    def close(self) -> None:
        """Do nothing: the actors of a run end with it."""

    def _run(self, ray: Any, store: Store, jobs: Sequence[Job], listener: Listener) -> None:
        claims = Claims(store.directory)
        since = claims.now()
        watch = Watch(store, jobs, listener, claims, since)
        count = self.workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        count = min(count, max(1, len(jobs)))
        memory = max((job.memory_bytes for job in jobs), default=0) + _BASE_BYTES
        settings = {
            "question": store.question.partition("-")[2],
            "suite": self.suite.to_json(),
            "directory": str(store.directory.resolve()),
            "files": small_files(store.directory),
            "checkpoint_seconds": self.checkpoint_seconds,
            "spread": setting_of(self.spread),
        }
        make = functools.partial(_start, ray, settings, gpus=self.gpus, memory=memory)
        errors: list[BaseException] = []
        over = threading.Event()

        deaths: Counter[str] = Counter()

        def work() -> None:
            remote = _Remote(ray, make, store, watch, deaths)
            worker = Worker(store, remote.do, jobs, watch, claims, since=since)
            try:
                while remote.wait(over):
                    with contextlib.suppress(WorkerLostError):
                        worker.run(over)
                        break
            except KeyboardInterrupt:
                pass  # asked to stop; what can be saved is saved
            except BaseException as error:  # raised again below
                errors.append(error)
            over.set()  # nothing is left, or nothing can be done: nobody else need wait
            remote.close()

        threads = [threading.Thread(target=work) for _ in range(count)]
        with interrupts(over.set) as interrupted:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(_LOOK_SECONDS)
                    watch.look()
        if errors:
            raise errors[0]
        if interrupted.is_set():
            raise KeyboardInterrupt
        watch.close()


class _Remote:
    """Does jobs in an actor, and starts another one if it dies."""

    def __init__(self, ray: Any, make: Any, store: Store, listener: Listener, deaths: Counter[str]):
        self._ray, self._make = ray, make
        self._store, self._listener = store, listener
        self._deaths = deaths
        self._actor = make()

    def wait(self, over: threading.Event) -> bool:
        """Wait until the actor has a place; return False if the run is over before.

        Raises:
          VelodromeError: It refuses the plan, or dies before it can look at it, again and again.
        """
        lost: Exception | None = None
        for _ in range(ATTEMPTS + 1):
            ready = self._actor.check.remote()
            while not self._ray.wait([ready], timeout=_LOOK_SECONDS)[0]:
                if over.is_set():
                    return False
            try:
                refused = self._ray.get(ready)
            except self._ray.exceptions.RayActorError as error:
                self._actor, lost = self._make(), error
                continue
            if refused:
                raise VelodromeError(f"a Ray worker cannot run this plan: {refused}")
            return not over.is_set()
        raise VelodromeError(f"Ray workers end before they do anything: {lost}") from lost

    def do(self, job: Job, control: Control) -> None:
        """Do a job in the actor, and write its files into the store.

        Raises:
          WorkerLostError: The actor has died; another one is on its way, see `wait`.
        """
        try:
            files = self._files(job, control)
        except self._ray.exceptions.RayActorError as error:
            self._actor = self._make()
            self._deaths[job.name] += 1
            again = self._deaths[job.name] < ATTEMPTS
            why = "its Ray actor, or the node that it ran on, has ended"
            if not again:
                record(self._store, job, "killed", why)
            self._listener.job_failed(job, "killed", why, again=again)
            raise WorkerLostError from error
        for name, content in files.items():
            atomic_write_bytes(self._store.directory / name, content)
        failure = self._store.directory / "failures" / f"{job.id}.json"
        failure.unlink(missing_ok=True)

    def close(self) -> None:
        self._ray.kill(self._actor)

    def _begin(self, job: Job) -> Files:
        """Return the end state from which a job's runs go on, for actors that do not see it."""
        after = self._store.plan.shard(job.id).after if job.kind == SHARD else ""
        if after:
            path = self._store.state_path(after)
            with contextlib.suppress(FileNotFoundError):  # then they start over
                return {str(path.relative_to(self._store.directory)): path.read_bytes()}
        return {}

    def _files(self, job: Job, control: Control) -> Files:
        result = self._actor.do.remote(vars(job), self._begin(job))
        stopping = False
        while not self._ray.wait([result], timeout=_LOOK_SECONDS)[0]:
            fraction, losses = self._ray.get(self._actor.progress.remote())
            control.report(fraction=fraction, last_loss=losses)
            if control.should_stop() and not stopping:
                stopping = True
                self._actor.stop.remote()
                if not self._ray.wait([result], timeout=_GRACE_SECONDS)[0]:
                    raise Stopped
        files, stopped, failure = self._ray.get(result)
        if stopped:
            raise Stopped
        if failure is not None:
            raise JobFailedError(*failure)
        return files


def _start(ray: Any, settings: Mapping[str, Any], *, gpus: float, memory: int) -> Any:
    environment = {"NPROC": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if not gpus:
        environment["JAX_PLATFORMS"] = "cpu"
    make = ray.remote(Actor).options(
        num_cpus=1,
        num_gpus=gpus,
        memory=memory,
        max_restarts=0,
        max_concurrency=2,  # one does a job, one answers
        runtime_env={"env_vars": environment},
    )
    return make.remote(settings)
