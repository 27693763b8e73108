"""Report to a display what is done in a store, by the workers of this run and by all others."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from velodrome.results.store.claims import Claims
from velodrome.results.store.lease import Lease
from velodrome.results.store.store import Store
from velodrome.suites.running.engines.base import Job, Listener
from velodrome.suites.running.engines.outcomes import failed_since, is_done

#: Seconds between two looks at the claims.
_LOOK_SECONDS = 2.0


_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def _one_at_a_time(
    method: Callable[Concatenate[Watch, _Arguments], _Result],
) -> Callable[Concatenate[Watch, _Arguments], _Result]:
    @functools.wraps(method)
    def locked(self: Watch, *arguments: _Arguments.args, **options: _Arguments.kwargs) -> _Result:
        with self.lock:
            return method(self, *arguments, **options)

    return locked


class Watch:
    """A listener that passes reports on, and adds those of other runs' workers.

    Several threads may call it.

    Args:
      jobs: The jobs of this run; what others do beside them is none of its business.
      since: When the run began, as `Claims.now` says.
    """

    def __init__(
        self, store: Store, jobs: Sequence[Job], listener: Listener, claims: Claims, since: float
    ):
        self._store, self._listener, self._claims = store, listener, claims
        self._since = since
        self._left = {job.name: job for job in jobs}
        self._elsewhere: dict[str, Lease] = {}
        self._looked = time.monotonic()
        self.lock = threading.RLock()

    @_one_at_a_time
    def job_started(self, job: Job) -> None:
        if self._elsewhere.pop(job.name, None) is None:
            self._listener.job_started(job)

    @_one_at_a_time
    def job_progress(self, job: Job, fraction: float, last_loss: Mapping[int, float]) -> None:
        self._listener.job_progress(job, fraction, last_loss)
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self.look()

    @_one_at_a_time
    def job_finished(self, job: Job) -> None:
        self._elsewhere.pop(job.name, None)
        if self._left.pop(job.name, None):
            self._listener.job_finished(job)

    @_one_at_a_time
    def job_failed(self, job: Job, kind: str, message: str, *, again: bool) -> None:
        if not again:
            self._elsewhere.pop(job.name, None)
        if again or self._left.pop(job.name, None):
            self._listener.job_failed(job, kind, message, again=again)

    @_one_at_a_time
    def say(self, message: str) -> None:
        self._listener.say(message)

    @_one_at_a_time
    def look(self) -> bool:
        """Report what other runs' workers do now; return whether anything is left."""
        self._looked = time.monotonic()
        held = {
            lease.name: lease
            for lease in self._claims.held()
            if lease.session != self._claims.session and lease.name in self._left
        }
        for name in [name for name in self._elsewhere if name not in held]:
            job = self._left[name]
            if not self._settle(job):
                why = "the worker that had it has stopped"
                self._listener.job_failed(job, "stopped", why, again=True)
            self._elsewhere.pop(name, None)
        for name, lease in held.items():
            job = self._left[name]
            if name not in self._elsewhere:
                self._listener.job_started(job)
            losses = {
                int(lane): math.nan if loss is None else loss for lane, loss in lease.losses.items()
            }
            if lease.fraction:
                self._listener.job_progress(job, lease.fraction, losses)
        self._elsewhere.update(held)
        return bool(self._left)

    @property
    def left(self) -> int:
        """How many jobs are not over, as far as is known here."""
        return len(self._left)

    @property
    def busy(self) -> bool:
        """Whether other runs' workers were at it at the last look."""
        return bool(self._elsewhere)

    @_one_at_a_time
    def close(self) -> None:
        """Report how the jobs ended that others did, also if nobody was seen at them."""
        for job in list(self._left.values()):
            if self._is_over(job):
                self.job_started(job)
                self._settle(job)

    def _is_over(self, job: Job) -> bool:
        return is_done(self._store, job) or failed_since(self._store, job, self._since) is not None

    def _settle(self, job: Job) -> bool:
        """Report the end of a job that another worker did; return whether it is over."""
        if is_done(self._store, job):
            self.job_finished(job)
            return True
        if failure := failed_since(self._store, job, self._since):
            kind, message = failure.get("kind", "error"), failure.get("message", "")
            self.job_failed(job, kind, message, again=False)
            return True
        return False
