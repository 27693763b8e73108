"""What a claim says of a job and its worker, and whether that worker lives."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from velodrome.foundation.errors import SpecError
from velodrome.foundation.typed import parse_json, read_as


@dataclass(frozen=True)
class Lease:
    """What a claim says.

    Attributes:
      kind: Of the job, as are ``id``, ``cell``, ``task`` and ``memory_bytes``.
      session: The run that the worker belongs to; one run may have many workers.
      machine: Where process ids can be compared; two containers of a host are two machines.
      born: When the process began, by its machine.
      created: When the claim was made, as are all other times, by the clock of the file system.
      attempt: How often the job has begun, this time included, without getting further.
      reached: The fraction that earlier attempts reached.
      fraction: The part of the job that is done.
      losses: The last train loss by lane; None is a loss that is not finite.
      renewed: The last sign of life.
    """

    kind: str
    id: str
    cell: str
    task: int
    memory_bytes: int
    session: str
    token: str
    host: str
    machine: str
    pid: int
    born: float
    created: float
    attempt: int = 1
    reached: float = 0.0
    fraction: float = 0.0
    losses: Mapping[str, float | None] = field(default_factory=dict)
    renewed: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.id}"

    @property
    def next_attempt(self) -> int:
        """The attempt that follows this one if its worker dies now."""
        return 1 if self.fraction > self.reached + 0.01 else self.attempt + 1

    @property
    def here(self) -> bool:
        """Whether its worker is on this machine."""
        return self.machine == this_machine()


def encoded(lease: Lease) -> bytes:
    content = {name: value for name, value in vars(lease).items() if name != "renewed"}
    return json.dumps(content).encode()


def read_lease(path: Path) -> Lease | None:
    """Return a claim; of one that cannot be read, what its name and its time say; or None."""
    try:
        renewed = path.stat().st_mtime
        content = path.read_bytes()
    except OSError:
        return None
    try:
        lease = read_as(Lease, parse_json(content), "")
    except (ValueError, SpecError):  # just being renewed, or damaged
        kind, _, name = path.name.partition("-")
        lease = Lease(kind, name, "", -1, 0, "", "", "unknown", "", 0, 0.0, renewed)
    return dataclasses.replace(lease, renewed=renewed)


def token_of(content: bytes) -> str:
    try:
        return json.loads(content)["token"]
    except (ValueError, KeyError, TypeError):
        return ""


@functools.cache
def this_machine() -> str:
    """Return a name of the set of processes that this one can see."""
    boot = space = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = str(Path("/proc/self/ns/pid").readlink())
    return f"{socket.gethostname()} {boot} {space}".strip()


def born(pid: int) -> float:
    """Return when a process began, by its machine."""
    return psutil.Process(pid).create_time()


def lives(pid: int, began: float) -> bool:
    """Return whether the process that began then is there, and no later one of the same id."""
    try:
        process = psutil.Process(pid)
        # The clock may have been set since; process ids come again after hours, not seconds.
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - began) < 60
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
