"""The official VeLO checkpoint: how to fetch it over HTTPS, where it is kept, how to recognise it.

The checkpoint is the one Metz et al. (2022, arXiv 2211.09760) released as
``aug12_continue_on_bigger_2xbs_200kstep_bigproblem_v2_5620``. Its SHA-256 was never published
with it, so the hash of a copy fetched from the official place, and checked against the server's
checksum, is recorded on first use; any later change of the file is refused.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from velodrome.foundation.download import (
    DownloadError,
    Progress,
    discard,
    download_part,
    state_path,
)
from velodrome.foundation.errors import UnknownNameError, WeightsError
from velodrome.foundation.files import cache_dir, sha256_file
from velodrome.optimizers.metacost import MetaTrainingCost
from velodrome.optimizers.velo.weights.msgpack import parse_official
from velodrome.optimizers.velo.weights.record import FirstUse
from velodrome.optimizers.velo.weights.tree import VeLOWeights

OFFICIAL_URL = (
    "https://storage.googleapis.com/gresearch/learned_optimization/pretrained_lopts/"
    "aug12_continue_on_bigger_2xbs_200kstep_bigproblem_v2_5620/params"
)
OFFICIAL_BYTES = 9_282_564
OFFICIAL_HIDDEN_SIZE = 512
OFFICIAL_BANK_SIZE = 256

#: "Approximately four thousand TPU-months" are all that the authors say of the cost.
OFFICIAL_COST = MetaTrainingCost(
    4_000.0,
    "TPU-months",
    "its authors (Metz et al. 2022, arXiv 2211.09760, abstract)",
    "approximately",
)

_HASH_HEADER = "x-goog-hash"


def official_path() -> Path:
    """Return the place of the official checkpoint in the cache, whether it is there or not."""
    return cache_dir() / "weights" / "velo" / "params"


def first_use() -> FirstUse:
    """Return where the hash of the official checkpoint is recorded."""
    return FirstUse(official_path(), OFFICIAL_URL, "velo")


def read_record() -> dict[str, Any] | None:
    """Return what was recorded on first use; see `FirstUse.read`."""
    return first_use().read()


def write_record(sha256: str, *, origin: str, checked: str | None = None) -> None:
    """Record the hash that the official checkpoint must have from now on."""
    first_use().write(sha256, size=OFFICIAL_BYTES, origin=origin, checked=checked)


def refuse_change(sha256: str, *, where: str) -> None:
    """Refuse a file whose hash is not the recorded one; see `FirstUse.refuse_change`."""
    first_use().refuse_change(sha256, where=where)


def is_official(sha256: str) -> bool:
    """Return whether a file of this hash is, bit for bit, what was fetched officially."""
    return first_use().fetched(sha256)


def fetch_weights(
    name: str = "velo",
    *,
    url: str = OFFICIAL_URL,
    attempts: int = 5,
    pause_seconds: float = 1.0,
    progress: Progress | None = None,
) -> Path:
    """Fetch named weights into the cache and return their path; at once if they are there.

    The download goes to ``params.part`` and is resumed where it stopped, in this call and in
    later ones. The file takes its place only when its size, the server's checksum, its arrays,
    and the hash recorded on first use (if there is one) all agree.

    Args:
      name: ``"velo"``, the official checkpoint.
      attempts: How often to try in all if the connection drops, at least 1.
      pause_seconds: Wait before the second attempt; doubled for each one after it.
      progress: Called with (bytes so far, bytes in all).

    Raises:
      UnknownNameError: Nothing of that name can be fetched.
      WeightsError: No network, or what came is not the official checkpoint.
    """
    if name != "velo":
        raise UnknownNameError("set of weights to fetch", name, ["velo"])
    target = official_path()
    if target.is_file() and target.stat().st_size == OFFICIAL_BYTES:
        sha256 = sha256_file(target)
        refuse_change(sha256, where=str(target))
        if is_official(sha256):
            return target
    part = target.with_name("params.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        headers = download_part(
            url,
            part,
            size=OFFICIAL_BYTES,
            keep_headers=(_HASH_HEADER,),
            attempts=attempts,
            pause_seconds=pause_seconds,
            progress=progress,
        )
        data = part.read_bytes()
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
        checked = _check_transport(data, parse_goog_hash(headers[_HASH_HEADER]), url)
        _check_size(parse_official(data, name=str(part)), url)
        sha256 = hashlib.sha256(data).hexdigest()
        refuse_change(sha256, where=f"what {url} sends now")
    except WeightsError:
        discard(part)
        raise
    # The record goes first: were it the other way round, a crash in between would leave a file
    # whose origin nobody knows.
    write_record(sha256, origin="fetched", checked=checked)
    part.replace(target)
    state_path(part).unlink(missing_ok=True)
    return target


def parse_goog_hash(values: list[str] | None) -> dict[str, str]:
    """Return the checksums in ``x-goog-hash`` headers, such as ``["crc32c=AA==,md5=BB=="]``."""
    pairs = (item.strip().partition("=") for value in values or [] for item in value.split(","))
    return {kind: digest for kind, _, digest in pairs if kind and digest}


def crc32c(data: bytes, crc: int = 0) -> int:
    """Return the CRC-32C (Castagnoli, RFC 3720 appendix B.4) of ``data``, continuing ``crc``."""
    table, crc = _crc32c_table(), crc ^ 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _check_transport(data: bytes, hashes: Mapping[str, str], url: str) -> str:
    """Check size and checksum of a download; return the checksum, such as ``"md5=1B2M2Y8A=="``."""
    if len(data) != OFFICIAL_BYTES:
        raise WeightsError(
            f"{url} did not send the official checkpoint: expected {OFFICIAL_BYTES:,} "
            f"bytes, found {len(data):,}. Nothing was kept; perhaps a proxy answers in its place."
        )
    if "md5" in hashes:
        kind, digest = "md5", hashlib.md5(data, usedforsecurity=False).digest()
    elif "crc32c" in hashes:
        kind, digest = "crc32c", crc32c(data).to_bytes(4, "big")
    else:
        raise WeightsError(
            f"{url} sent no checksum: expected md5 or crc32c in the header x-goog-hash, found "
            f"{dict(hashes) or 'none'}. Nothing was kept; perhaps a proxy changes the headers. "
            "Fetch from another network."
        )
    found = base64.b64encode(digest).decode()
    if hashes[kind] != found:
        raise WeightsError(
            f"the download from {url} was damaged on its way: expected {kind} {hashes[kind]}, "
            f"found {found}. Nothing was kept; run the command again."
        )
    return f"{kind}={found}"


def _check_size(weights: VeLOWeights, url: str) -> None:
    expected = (OFFICIAL_HIDDEN_SIZE, OFFICIAL_BANK_SIZE)
    found = (weights.hidden_size, weights.bank_size)
    if found != expected:
        raise WeightsError(
            f"{url} did not send the official checkpoint: expected LSTM {expected[0]} and bank "
            f"{expected[1]}, found {found[0]} and {found[1]}. Nothing was kept."
        )


def _crc32c_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table
