"""Claims: who works on what in a store, so that processes and machines can share it.

A claim is a small file in the store's folder ``claims``. It is made whole and linked to its name,
which one worker alone can do, on NFS too; its worker renews it every half minute. One that was not
renewed for five minutes, or whose process is gone, may be taken over. Claims save work and no
more: two workers on one job write the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

from velodrome.foundation.errors import WriteError
from velodrome.results.store.lease import (
    Lease,
    born,
    encoded,
    lives,
    read_lease,
    this_machine,
    token_of,
)

#: Seconds without a sign of life after which a claim may be taken over.
LEASE_SECONDS = 300.0
#: Seconds between two signs of life.
HEARTBEAT_SECONDS = 30.0


class Claims:
    """The claims in a store.

    Args:
      session: Name of the run that claims are made for; a new one by default.
      read_only: Whether to write nothing, and to take this machine's time for the file system's.
    """

    def __init__(self, directory: Path, session: str = "", *, read_only: bool = False):
        self.folder = directory / "claims"
        self.session = session or uuid.uuid4().hex[:12]
        self._ahead: float | None = 0.0 if read_only else None

    def now(self) -> float:
        """Return the time of the file system, so that the clocks of machines need not agree."""
        if self._ahead is None:
            with _written(self.folder, b"") as path:
                self._ahead = path.stat().st_mtime - time.time()
        return time.time() + self._ahead

    def take(self, job: Lease, *, since: float) -> Claim | None:
        """Claim a job, or return None if a living worker has it.

        Args:
          job: What is claimed, as made by `lease`.
          since: When this run began: earlier attempts do not count.
        """
        path = self.folder / job.name
        for _ in range(3):  # others may take it and give it back meanwhile
            with _written(self.folder, encoded(job)) as written:
                try:
                    if _named(written, path):
                        return Claim(path, job)
                except OSError as error:
                    raise _refused(self.folder, error) from error
            before = read_lease(path)
            if before is None:
                continue  # just given back; who has it next keeps it
            if not self._is_dead(before):
                return None
            if self._remove_dead(path) and before.created >= since:
                reached = max(before.fraction, before.reached)
                job = dataclasses.replace(job, attempt=before.next_attempt, reached=reached)
        return None

    def lease(
        self, *, kind: str, id: str, cell: str, task: int, memory_bytes: int = 0
    ) -> Lease:  # fmt: skip
        """Return the lease of a job for this process."""
        return Lease(
            kind, id, cell, task, memory_bytes, self.session, uuid.uuid4().hex,
            socket.gethostname(), this_machine(), os.getpid(), born(os.getpid()), self.now(),
        )  # fmt: skip

    def held(self) -> list[Lease]:
        """Return the claims of workers that are alive."""
        return [lease for lease in self._all() if not self._is_dead(lease)]

    def dead(self) -> list[Lease]:
        """Return the claims that may be taken over."""
        return [lease for lease in self._all() if self._is_dead(lease)]

    def abandon(self, pid: int) -> Lease | None:
        """Let others take over what a dead process of this run has claimed; return the claim."""
        for lease in self._all():
            if lease.session == self.session and lease.pid == pid and lease.here:
                with contextlib.suppress(OSError):
                    os.utime(self.folder / lease.name, (0, 0))
                return lease
        return None

    def drop(self, lease: Lease) -> None:
        """Remove a dead claim."""
        self._remove_dead(self.folder / lease.name)

    def _all(self) -> Iterator[Lease]:
        try:
            names = sorted(entry.name for entry in os.scandir(self.folder))
        except FileNotFoundError:
            return
        for name in names:
            if not name.startswith(".") and (lease := read_lease(self.folder / name)):
                yield lease

    def _is_dead(self, lease: Lease) -> bool:
        if lease.renewed == 0:
            return True  # abandoned
        # What a run's own processes leave, the run finds first, and knows how they ended.
        if lease.here and lease.session != self.session and not lives(lease.pid, lease.born):
            return True
        return self.now() - lease.renewed > LEASE_SECONDS

    def _remove_dead(self, path: Path) -> bool:
        """Remove a claim, and return whether it was there and dead: one worker alone can do it."""
        away = path.with_name(f".dead-{uuid.uuid4().hex}")
        try:
            path.rename(away)
        except OSError:
            return False
        lease = read_lease(away)
        dead = lease is None or self._is_dead(lease)
        if not dead:  # another worker has just taken it over
            with contextlib.suppress(OSError):
                _named(away, path)
        away.unlink(missing_ok=True)
        return dead


class Claim:
    """A job that this process has claimed, and renews until the ``with`` block ends."""

    def __init__(self, path: Path, lease: Lease):
        self.lease = lease
        self._path = path
        self._over = threading.Event()
        self._beat = threading.Thread(target=self._renew_always, daemon=True)
        self._beat.start()

    def report(self, fraction: float, last_loss: Mapping[int, float]) -> None:
        """Note how far the job is; others see it at the next sign of life."""
        losses = {str(k): float(v) if math.isfinite(v) else None for k, v in last_loss.items()}
        self.lease = dataclasses.replace(self.lease, fraction=float(fraction), losses=losses)

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._beat.join()
        if self._is_mine():
            self._path.unlink(missing_ok=True)

    def _renew_always(self) -> None:
        while not self._over.wait(HEARTBEAT_SECONDS):
            # Without a sign of life the worst is that another one does the same work.
            with contextlib.suppress(OSError):
                self._renew()

    def _renew(self) -> None:
        # In place: a claim that was taken over meanwhile is another file, and stays as it is.
        with self._path.open("r+b") as file:
            if token_of(file.read()) == self.lease.token:
                file.seek(0)
                file.write(encoded(self.lease))
                file.truncate()

    def _is_mine(self) -> bool:
        try:
            return token_of(self._path.read_bytes()) == self.lease.token
        except OSError:
            return False


@contextlib.contextmanager
def _written(folder: Path, content: bytes) -> Iterator[Path]:
    """Write a file of an unused name, and remove that name at the end."""
    path: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".new-")
        path = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        path.chmod(0o644)
    except OSError as error:
        if path is not None:
            path.unlink(missing_ok=True)
        raise _refused(folder, error) from error
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _named(written: Path, path: Path) -> bool:
    """Give a file a second name, which one worker alone can do; return whether this one did."""
    try:
        os.link(written, path)
    except FileExistsError:
        return written.stat().st_nlink > 1  # NFS had done it and lost the answer
    except OSError:  # a file system without links; a claim that is not whole yet is read as alive
        with contextlib.suppress(FileExistsError), path.open("xb") as file:
            file.write(written.read_bytes())
            return True
        return False
    return True


def _refused(folder: Path, error: OSError) -> WriteError:
    return WriteError(
        f"cannot write to {folder}: {error.strerror or error}. Make room, or choose a "
        "directory that you may write to."
    )
