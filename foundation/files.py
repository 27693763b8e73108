"""Files that are whole or not there: atomic writing, hashing, and the cache directory."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import WriteError


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path to write to, which takes the name ``path`` once all went well.

    A reader sees the old file or the whole new one, never a part. If the block raises, the
    temporary file is removed and ``path`` is untouched.

    Args:
      path: Where the file shall be. Its directory is made if it is missing.

    Yields:
      A path in the same directory, with the same suffix, for the block to write.

    Raises:
      WriteError: The file cannot be written (no permission, disk full, ...).
    """
    target = Path(path)
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
            f"cannot write {target}: {reason}. Nothing was left half-written; make room or "
            f"choose a place that you may write to, and run the command again.{cache_hint(target)}"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def atomic_write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes ``data`` to ``path`` atomically; see :func:`atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes ``text`` as UTF-8 to ``path`` atomically; see :func:`atomic_path`."""
    atomic_write_bytes(path, text.encode())


def atomic_write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes ``value`` as indented JSON to ``path`` atomically; see :func:`atomic_path`."""
    atomic_write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 (64 hexadecimal digits) of the bytes of the file ``path``."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_dir() -> Path:
    """Returns where velodrome keeps what can be made or fetched again.

    ``VELODROME_CACHE`` if it is set, else ``velodrome`` in ``XDG_CACHE_HOME`` or ``~/.cache``.
    The directory is not created here.
    """
    chosen = os.environ.get("VELODROME_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "velodrome"


def cache_hint(path: str | os.PathLike[str]) -> str:
    """Returns a sentence, after a space, on how to move the cache; empty for paths outside it."""
    directory = cache_dir()
    if not Path(path).absolute().is_relative_to(directory.absolute()):
        return ""
    return (
        f" It belongs to velodrome's cache, {directory}: the environment variable VELODROME_CACHE "
        "chooses another directory for it."
    )


def writable_cache_dir(name: str) -> Path:
    """Returns the folder ``name`` of the cache directory, made if it is missing.

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
