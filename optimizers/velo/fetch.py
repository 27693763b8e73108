"""Fetches the official VeLO checkpoint over HTTPS: atomic, resumable, checked, never unpickled."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.errors import UnknownNameError, WeightsError
from foundation.files import atomic_write_json, sha256_file
from optimizers.velo import official
from optimizers.velo.checkpoint import read_official
from optimizers.velo.weights import VeLOWeights

_CHUNK_BYTES = 1 << 16
_TIMEOUT_SECONDS = 30
_USER_AGENT = "velodrome (weights fetch)"

Progress = Callable[[int, int], None]


def fetch(
    name: str = "velo",
    *,
    url: str = official.OFFICIAL_URL,
    attempts: int = 5,
    pause_seconds: float = 1.0,
    progress: Progress | None = None,
) -> Path:
    """Fetches named weights into the cache and returns their path; at once if they are there.

    The download goes to ``params.part`` and is resumed where it stopped, in this call and in
    later ones. The file takes its place only when its size, the server's own checksum, its
    arrays, and the hash recorded on first use (if there is one) all agree.

    Args:
      name: ``"velo"``, the official checkpoint.
      url: Where from.
      attempts: How often a dropped connection is taken up again, at least 1.
      pause_seconds: Wait before the second attempt; doubled for each one after it.
      progress: Called with (bytes so far, bytes in all).

    Raises:
      UnknownNameError: Nothing of that name can be fetched.
      WeightsError: No network, or what came is not the official checkpoint.
    """
    if name != "velo":
        raise UnknownNameError("set of weights to fetch", name, ["velo"])
    target = official.official_path()
    if target.is_file() and target.stat().st_size == official.OFFICIAL_BYTES:
        sha256 = sha256_file(target)
        official.refuse_change(sha256, where=str(target))
        if official.is_official(target):
            return target
    part = target.with_name("params.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        hashes = _download_with_retries(url, part, attempts, pause_seconds, progress)
        checked = check_transport(part, hashes, url=url)
    except OSError as error:
        raise WeightsError(
            f"cannot write {part}: {error.strerror or error}. Make room, or set VELODROME_CACHE to "
            "a directory that you may write to, and run the command again."
        ) from error
    try:
        _check_size(read_official(part), url)
        sha256 = sha256_file(part)
        official.refuse_change(sha256, where=f"what {url} sends now")
    except WeightsError:
        _discard(part)
        raise
    # The record goes first: were it the other way round, a crash in between would leave a file
    # whose origin nobody knows.
    official.write_record(sha256, origin="fetched", checked=checked)
    part.replace(target)
    _state_path(part).unlink(missing_ok=True)
    return target


def check_transport(path: Path, hashes: Mapping[str, str], *, url: str) -> str:
    """Checks size and checksum of a downloaded file, and deletes it if they differ.

    Args:
      path: The file.
      hashes: What the server said in ``x-goog-hash``: ``md5`` or ``crc32c``, in base 64.
      url: Where the file came from, for messages.

    Returns:
      The checksum that agreed, such as ``"md5=1B2M2Y8AsgTpgAmY7PhCfg=="``.

    Raises:
      WeightsError: The size or the checksum is not the expected one, or the server sent none.
    """
    size = path.stat().st_size
    if size != official.OFFICIAL_BYTES:
        _discard(path)
        raise WeightsError(
            f"{url} did not send the official checkpoint: expected {official.OFFICIAL_BYTES:,} "
            f"bytes, found {size:,}. Nothing was kept; perhaps a proxy answers in its place."
        )
    if "md5" in hashes:
        kind, found = "md5", _base64_md5(path)
    elif "crc32c" in hashes:
        kind, found = "crc32c", _base64_crc32c(path)
    else:
        _discard(path)
        raise WeightsError(
            f"{url} sent no checksum: expected md5 or crc32c in the header x-goog-hash, found "
            f"{dict(hashes) or 'none'}. Nothing was kept; perhaps a proxy changes the headers. "
            "Fetch from another network."
        )
    if hashes[kind] != found:
        _discard(path)
        raise WeightsError(
            f"the download from {url} was damaged on its way: expected {kind} {hashes[kind]}, "
            f"found {found}. Nothing was kept; run the command again."
        )
    return f"{kind}={found}"


def parse_goog_hash(values: list[str] | None) -> dict[str, str]:
    """Returns the checksums in ``x-goog-hash`` headers, such as ``["crc32c=AA==,md5=BB=="]``."""
    pairs = (item.strip().partition("=") for value in values or [] for item in value.split(","))
    return {kind: digest for kind, _, digest in pairs if kind and digest}


def crc32c(data: bytes, crc: int = 0) -> int:
    """Returns the CRC-32C (Castagnoli, RFC 3720 appendix B.4) of ``data``, continuing ``crc``."""
    table, crc = _crc32c_table(), crc ^ 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


@dataclass(frozen=True)
class _PartState:
    """Which version of which address a partial download belongs to."""

    url: str
    etag: str
    hashes: dict[str, str]


class _Dropped(Exception):
    """The connection ended before the file did; another attempt may get the rest."""


def _download_with_retries(
    url: str, part: Path, attempts: int, pause_seconds: float, progress: Progress | None
) -> dict[str, str]:
    """Downloads to ``part`` and returns the server's checksums."""
    reason: object = "no attempt was made"
    for attempt in range(max(1, attempts)):
        if attempt:
            time.sleep(pause_seconds * 2 ** (attempt - 1))
        try:
            return _download(url, part, progress)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise _unreachable(url, f"HTTP {error.code} {error.reason}", part) from error
            reason = f"HTTP {error.code} {error.reason}"
        except urllib.error.URLError as error:
            reason = error.reason
            if not _has_progress(part):
                break  # nothing ever came through: no network, and waiting will not help
        except (_Dropped, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = error
    raise _unreachable(url, reason, part)


def _download(url: str, part: Path, progress: Progress | None) -> dict[str, str]:
    state = _read_state(part)
    start = part.stat().st_size if state and state.url == url and part.is_file() else 0
    if start == official.OFFICIAL_BYTES and state is not None:
        return state.hashes
    headers = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"}
    if start and state is not None:
        # If-Range: a file that was replaced on the server is sent anew, not continued.
        headers |= {"Range": f"bytes={start}-", "If-Range": state.etag}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
        if response.status != 206:
            start = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            _discard(part)
            raise _Dropped("the server continued at another place")
        hashes = parse_goog_hash(response.headers.get_all("x-goog-hash"))
        etag = response.headers.get("ETag", "")
        if etag:
            state = _PartState(url, etag, hashes)
            atomic_write_json(_state_path(part), vars(state))
        else:
            _state_path(part).unlink(missing_ok=True)  # cannot be resumed safely
        with part.open("ab" if start else "wb") as file:
            received = start
            while chunk := _read(response):
                file.write(chunk)
                received += len(chunk)
                if progress is not None:
                    progress(received, official.OFFICIAL_BYTES)
                if received > official.OFFICIAL_BYTES:
                    return hashes  # longer than it may be: check_transport says so
        announced = response.headers.get("Content-Length")
        if announced is not None and received - start < int(announced):
            raise _Dropped(f"the connection ended after {received:,} bytes")
    return hashes


def _read(response: Any) -> bytes:
    """Reads on; an error of the network must not pass for one of the disk, also an OSError."""
    try:
        return response.read(_CHUNK_BYTES)
    except OSError as error:
        raise _Dropped(error.strerror or str(error)) from error


def _check_size(weights: VeLOWeights, url: str) -> None:
    expected = (official.OFFICIAL_HIDDEN_SIZE, official.OFFICIAL_BANK_SIZE)
    found = (weights.hidden_size, weights.bank_size)
    if found != expected:
        raise WeightsError(
            f"{url} did not send the official checkpoint: expected LSTM {expected[0]} and bank "
            f"{expected[1]}, found {found[0]} and {found[1]}. Nothing was kept."
        )


def _unreachable(url: str, reason: object, part: Path) -> WeightsError:
    kept = (
        f" {part.stat().st_size:,} bytes are kept and will be resumed."
        if (_has_progress(part))
        else ""
    )
    return WeightsError(
        f"could not fetch {url}: {reason}.{kept} Run the command again with a network; or fetch "
        f"it on another machine and copy its cache directory {part.parent} here; or use "
        "the built-in weights 'velo-tiny'."
    )


def _state_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _has_progress(part: Path) -> bool:
    return part.is_file() and part.stat().st_size > 0


def _read_state(part: Path) -> _PartState | None:
    try:
        return _PartState(**json.loads(_state_path(part).read_text()))
    except (OSError, ValueError, TypeError):
        return None  # no or unreadable notes: the download starts anew


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _state_path(part).unlink(missing_ok=True)


def _base64_md5(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return base64.b64encode(digest.digest()).decode()


def _base64_crc32c(path: Path) -> str:
    return base64.b64encode(crc32c(path.read_bytes()).to_bytes(4, "big")).decode()


def _crc32c_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table
