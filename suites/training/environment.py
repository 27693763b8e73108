"""The machine and the versions that make a result."""

from __future__ import annotations

import functools
import os
import platform
import re
import shlex
import sys
from importlib import metadata
from pathlib import Path

import jax
import psutil

#: Environment variables by which compilers and drivers are told to compute otherwise.
_FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "NVIDIA_TF32_OVERRIDE")

_COUNT_FLAG = "--xla_force_host_platform_device_count"

_PACKAGES = ("velodrome", "jax", "jaxlib", "flax", "optax", "numpy")


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def command_line() -> str:
    """Return the command that started this process; the program without its folder."""
    program, *arguments = sys.argv or [""]
    path = Path(program)
    if path.name == "__main__.py":
        return shlex.join(["python", "-m", path.parent.name, *arguments])
    return shlex.join([path.name or "python", *arguments])


@functools.cache
def device_description() -> dict[str, str | int]:
    """Return what jax computes on: platform, kind, on a CPU the threads, and the count above 1.

    Compiler flags of the environment are part of it: numbers depend on them.
    """
    device = jax.devices()[0]
    described: dict[str, str | int] = {"platform": device.platform, "kind": device.device_kind}
    if device.platform == "cpu":
        described.update(kind=processor_name(), threads=threads())
    if jax.local_device_count() > 1:
        described["count"] = jax.local_device_count()
    given = {name: os.environ.get(name, "") for name in _FLAGS}
    # How many devices a CPU pretends to be is the count.
    given["XLA_FLAGS"] = re.sub(rf"\s*{_COUNT_FLAG}=\d+", "", given["XLA_FLAGS"]).strip()
    if flags := " ".join(f"{name}={value}" for name, value in given.items() if value):
        described["flags"] = flags
    return described


@functools.cache
def processor_name() -> str:
    """Return the processor's name, as far as the system knows it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # no Linux
    return platform.processor() or platform.machine()


def threads() -> int:
    """Return how many threads jax computes with on the CPU of this process."""
    limit = os.environ.get("NPROC", "")
    return int(limit) if limit.isdigit() else usable_cores()


def free_memory() -> int:
    """Return the bytes that this process may still take, on the machine and in its group."""

    free = psutil.virtual_memory().available
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            status = Path("/sys/fs/cgroup/memory.stat").read_text().splitlines()
            counts = dict(line.split() for line in status)
            # Memory of files that nobody has mapped is given back when it is needed.
            taken = int(Path("/sys/fs/cgroup/memory.current").read_text())
            free = min(free, int(limit) - taken + int(counts["inactive_file"]))
    except (OSError, ValueError, KeyError):
        pass  # no such limit here
    return max(0, free)


def usable_cores() -> int:
    """Return how many cores this process may use, by its affinity and its group's quota."""
    cores = len(core_numbers())
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass  # no such quota here
    return cores


def core_numbers() -> list[int]:
    """Return the numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
