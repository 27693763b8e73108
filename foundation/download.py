"""Downloads over HTTP(S) that are resumed where they were cut off, even in a later call."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.files import atomic_write_json, sha256_file

CHUNK_BYTES = 1 << 16
"""Bytes read and written at a time."""

_TIMEOUT_SECONDS = 30
_NO_SUCH_RANGE = 416

Progress = Callable[[int, int], None]
"""Called with (bytes so far, bytes in all; 0 if the server does not say)."""


class DownloadError(VelodromeError):
    """A file cannot be fetched, or is not the expected one."""


def download(
    url: str,
    target: Path,
    *,
    size: int,
    sha256: str,
    attempts: int = 5,
    pause_seconds: float = 1.0,
    progress: Progress | None = None,
) -> Path:
    """Fetch a file whose size and SHA-256 are known, unless it is there; return its path.

    The download goes to ``target.part``, which replaces ``target`` only when both agree.

    Args:
      target: Where to. Its directory is made.
      size: In bytes.
      sha256: 64 hexadecimal digits.
      attempts: How often to try if the connection drops, at least 1.
      pause_seconds: Wait before the second attempt; doubled for each one after it.
      progress: Called after each chunk.

    Raises:
      DownloadError: There is no network, or the server sent another file, which is deleted.
    """
    if target.is_file() and target.stat().st_size == size and sha256_file(target) == sha256:
        return target
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)

    def fetch() -> str:
        download_part(
            url,
            part,
            size=size,
            unversioned=True,
            attempts=attempts,
            pause_seconds=pause_seconds,
            progress=progress,
        )
        return _difference(part, size, sha256)

    problem = fetch()
    state = _read_state(part)
    if problem and state is not None and state.resumed:
        discard(part)  # its pieces may come from two versions of the file: fetch it in one piece
        problem = fetch()
    if problem:
        discard(part)
        raise DownloadError(f"{url} did not send the expected file: {problem}")
    part.replace(target)
    state_path(part).unlink(missing_ok=True)
    return target


def _difference(part: Path, size: int, sha256: str) -> str:
    """Return how a file differs from the expected one, and what to do; "" if it does not."""
    found = part.stat().st_size
    if found != size:
        return (
            f"expected {size:,} bytes, found {found:,}. Nothing was kept; perhaps a proxy answers "
            "in its place."
        )
    digest = sha256_file(part)
    if digest != sha256:
        return (
            f"expected SHA-256 {sha256}, found {digest}. Nothing was kept: it was damaged on its "
            "way, or has changed. Run the command again."
        )
    return ""


def download_part(
    url: str,
    part: Path,
    *,
    size: int | None = None,
    unversioned: bool = False,
    keep_headers: Sequence[str] = (),
    attempts: int = 5,
    pause_seconds: float = 1.0,
    progress: Progress | None = None,
) -> dict[str, list[str]]:
    """Download to ``part``, or resume what is there; check nothing.

    The file ``part`` + ``.json`` records the address and the version: a file that has changed on
    the server is fetched again from the start. Without a version (a strong ``ETag``) a change
    cannot be noticed, so nothing is resumed, unless ``unversioned``.

    Args:
      size: In bytes, if known: a longer file is not read to its end.
      unversioned: Resume also where the server names no version. The caller must know the hash,
        because the pieces may come from two files.
      attempts: How often to try if the connection drops, at least 1.
      pause_seconds: Wait before the second attempt; doubled for each one after it.
      progress: Called after each chunk.

    Returns:
      The values of ``keep_headers``.

    Raises:
      DownloadError: It cannot be fetched. What came is kept, for the next call.
    """
    reason: object = "no attempt was made"
    for attempt in range(max(1, attempts)):
        if attempt:
            time.sleep(pause_seconds * 2 ** (attempt - 1))
        try:
            return _download(url, part, size, unversioned, keep_headers, progress)
        except urllib.error.HTTPError as error:
            if error.code == _NO_SUCH_RANGE and part.is_file():
                discard(part)  # the file has become shorter than the part
            elif error.code < 500:
                raise _unreachable(url, f"HTTP {error.code} {error.reason}", part) from error
            reason = f"HTTP {error.code} {error.reason}"
        except urllib.error.URLError as error:
            reason = error.reason
            if not _has_progress(part):
                break  # nothing ever came through: no network, and waiting will not help
        except (_Dropped, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = error
    raise _unreachable(url, reason, part)


def discard(part: Path) -> None:
    """Delete a partial download and the record beside it."""
    part.unlink(missing_ok=True)
    state_path(part).unlink(missing_ok=True)


def state_path(part: Path) -> Path:
    """Return where the address and version of a partial download are recorded."""
    return part.with_name(part.name + ".json")


@dataclass(frozen=True)
class _State:
    """The address and version of a partial download.

    ``etag`` is "" if the server names no reliable version; ``headers`` are those that the caller
    wants; ``resumed`` says whether the file came in more than one piece.
    """

    url: str
    etag: str
    headers: dict[str, list[str]]
    resumed: bool = False


class _Dropped(Exception):
    """The connection ended before the file did; another attempt may get the rest."""


def _download(
    url: str,
    part: Path,
    size: int | None,
    unversioned: bool,
    keep_headers: Sequence[str],
    progress: Progress | None,
) -> dict[str, list[str]]:
    state = _read_state(part)
    known = state is not None and state.url == url and bool(state.etag or unversioned)
    start = part.stat().st_size if known and part.is_file() else 0
    if start and start == size and state is not None:
        return state.headers
    headers = {"User-Agent": "velodrome", "Accept-Encoding": "identity"}
    if start and state is not None:
        headers["Range"] = f"bytes={start}-"
        if state.etag:
            # If the file was replaced on the server, all of the new one is sent.
            headers["If-Range"] = state.etag
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
        if response.status != 206:
            start = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            discard(part)
            raise _Dropped("the server continued at another place")
        kept: dict[str, list[str]] = {
            name: response.headers.get_all(name) or [] for name in keep_headers
        }
        etag = response.headers.get("ETag", "")
        if etag.startswith("W/"):
            etag = ""  # a weak one may stand for other bytes, and If-Range does not accept it
        if etag or unversioned:
            atomic_write_json(state_path(part), vars(_State(url, etag, kept, resumed=start > 0)))
        else:
            state_path(part).unlink(missing_ok=True)  # cannot be resumed safely
        announced = response.headers.get("Content-Length")
        total = size or (start + int(announced) if announced else 0)
        with part.open("ab" if start else "wb") as file:
            received = start
            while chunk := _read(response):
                file.write(chunk)
                received += len(chunk)
                if progress is not None:
                    progress(received, total)
                if size is not None and received > size:
                    return kept  # too long already: checking the size will show it
        if announced is not None and received - start < int(announced):
            raise _Dropped(f"the connection ended after {received:,} bytes")
    return kept


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK_BYTES)
    except OSError as error:
        # An error of the network must not pass for one of the disk, which is an OSError too.
        raise _Dropped(error.strerror or str(error)) from error


def _unreachable(url: str, reason: object, part: Path) -> DownloadError:
    kept = ""
    if _has_progress(part):
        kept = f" {part.stat().st_size:,} bytes are kept and will be resumed."
    return DownloadError(f"could not fetch {url}: {reason}.{kept}")


def _has_progress(part: Path) -> bool:
    return part.is_file() and part.stat().st_size > 0


def _read_state(part: Path) -> _State | None:
    try:
        return _State(**json.loads(state_path(part).read_text()))
    except (OSError, ValueError, TypeError):
        return None  # no or an unreadable record: the download starts from the beginning
