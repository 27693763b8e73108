"""Atomic writing, hashing, locked directories, and the cache directory."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Generator
from pathlib import Path

from velodrome.foundation.errors import SpecError, StoreError, WriteError

_LOCK = ".lock"


def resolved(path: str | os.PathLike[str]) -> Path:
    """Return a path that a user gives as an absolute one, with ``~`` as the home directory.

    Every path that enters goes through here once. Libraries take some of the others for something
    else: an address, the name of a user.

    Raises:
      SpecError: It is empty, or names a user that the system does not know.
    """
    text = os.fspath(path)
    try:
        if text.strip():
            return Path(text).expanduser().absolute()
    except RuntimeError as error:
        allowed = f"a path whose ~ stands for a home directory ({error}); ./{text} is a plain name"
        raise SpecError("path", text, allowed) from error
    raise SpecError("path", text, "the name of a file or directory; . is the present directory")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Generator[Path, None, None]:
    """Yield a temporary path beside ``path``, which takes its name if the block succeeds.

    A reader sees the old file or the whole new one, never a part. If the block raises, the
    temporary file is removed and ``path`` is untouched. The temporary path has the suffix of
    ``path``; a missing directory is made.

    Raises:
      WriteError: The file cannot be written (no permission, disk full, ...).
    """
    target = resolved(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.stem}.", suffix=f".tmp{target.suffix}"
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        # mkstemp makes files private to the user; results are made to be shared.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(
            f"cannot write {os.fspath(path)}: {reason}. Nothing was left half-written; make room "
            "or choose a place that you may write to, and run the command again."
            f"{cache_hint(target)}"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def atomic_write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path`` atomically; see :func:`atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8 to ``path`` atomically; see :func:`atomic_path`."""
    atomic_write_bytes(path, text.encode())


def atomic_write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write ``value`` as indented JSON to ``path`` atomically; see :func:`atomic_path`."""
    atomic_write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 (64 hexadecimal digits) of the bytes of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def exclusive_directory(directory: Path, *, patience: float = 0.0) -> Generator[None, None, None]:
    """Keep other runs out of a directory while the block or this process lives.

    A missing directory is made. ``patience`` is how many seconds to wait for another run.

    Raises:
      StoreError: Another run is at work in it.
      WriteError: It cannot be made or written to.
    """
    # Every command imports this module; only runs need filelock, which imports a lot.
    from filelock import FileLock, Timeout  # noqa: PLC0415 - only runs lock

    lock = FileLock(directory / _LOCK, timeout=patience)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise StoreError(
            f"another run is at work in {directory}. Wait for it or stop it, or choose another "
            "directory: two would do the same work and replace each other's files."
        ) from error
    except OSError as error:
        raise WriteError(
            f"cannot write to {directory}: {error.strerror or error}. Choose a directory that you "
            "may write to."
        ) from error
    try:
        yield
    finally:
        lock.release()


def cache_dir() -> Path:
    """Return the directory of everything that can be made or fetched again; it may not exist.

    ``VELODROME_CACHE`` if it is set, else ``velodrome`` in ``XDG_CACHE_HOME`` or ``~/.cache``.
    """
    chosen = os.environ.get("VELODROME_CACHE")
    if chosen:
        return resolved(chosen)
    return resolved(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "velodrome"


def cache_hint(path: str | os.PathLike[str]) -> str:
    """Return a sentence, after a space, on how to move the cache; empty for paths outside it."""
    directory = cache_dir()
    if not Path(path).absolute().is_relative_to(directory):
        return ""
    return (
        f" It belongs to velodrome's cache, {directory}: the environment variable VELODROME_CACHE "
        "chooses another directory for it."
    )


def writable_cache_dir(name: str) -> Path:
    """Return the folder ``name`` of the cache directory, made if it is missing.

    Raises:
      WriteError: It cannot be made, or not be written to.
    """
    directory = cache_dir() / name
    try:
        directory.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(directory, os.W_OK) else "Permission denied"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise WriteError(f"cannot write to {directory}: {reason}.{cache_hint(directory)}")
    return directory


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
