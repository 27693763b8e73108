"""Fetches the official VeLO checkpoint over HTTPS: atomic, resumable, checked, never unpickled."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

from velodrome.foundation.download import (
    DownloadError,
    Progress,
    discard,
    download_part,
    state_path,
)
from velodrome.foundation.errors import UnknownNameError, WeightsError
from velodrome.foundation.files import sha256_file
from velodrome.optimizers.velo.weights import official
from velodrome.optimizers.velo.weights.msgpack import read_official
from velodrome.optimizers.velo.weights.tree import VeLOWeights

_HASH_HEADER = "x-goog-hash"


def fetch_weights(
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
        headers = download_part(
            url,
            part,
            size=official.OFFICIAL_BYTES,
            keep_headers=(_HASH_HEADER,),
            attempts=attempts,
            pause_seconds=pause_seconds,
            progress=progress,
        )
        checked = check_transport(part, parse_goog_hash(headers[_HASH_HEADER]), url=url)
    except DownloadError as error:
        raise WeightsError(
            f"{error} Run the command again with a network; or fetch it on another machine and "
            f"copy its cache directory {part.parent} here; or use the built-in weights "
            "'velo-tiny'."
        ) from error
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
        discard(part)
        raise
    # The record goes first: were it the other way round, a crash in between would leave a file
    # whose origin nobody knows.
    official.write_record(sha256, origin="fetched", checked=checked)
    part.replace(target)
    state_path(part).unlink(missing_ok=True)
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
        discard(path)
        raise WeightsError(
            f"{url} did not send the official checkpoint: expected {official.OFFICIAL_BYTES:,} "
            f"bytes, found {size:,}. Nothing was kept; perhaps a proxy answers in its place."
        )
    if "md5" in hashes:
        kind, found = "md5", _base64_md5(path)
    elif "crc32c" in hashes:
        kind, found = "crc32c", _base64_crc32c(path)
    else:
        discard(path)
        raise WeightsError(
            f"{url} sent no checksum: expected md5 or crc32c in the header x-goog-hash, found "
            f"{dict(hashes) or 'none'}. Nothing was kept; perhaps a proxy changes the headers. "
            "Fetch from another network."
        )
    if hashes[kind] != found:
        discard(path)
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


def _check_size(weights: VeLOWeights, url: str) -> None:
    expected = (official.OFFICIAL_HIDDEN_SIZE, official.OFFICIAL_BANK_SIZE)
    found = (weights.hidden_size, weights.bank_size)
    if found != expected:
        raise WeightsError(
            f"{url} did not send the official checkpoint: expected LSTM {expected[0]} and bank "
            f"{expected[1]}, found {found[0]} and {found[1]}. Nothing was kept."
        )


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
