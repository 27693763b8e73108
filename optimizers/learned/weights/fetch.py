"""Fetch the weights of published learned optimizers, the official VeLO included."""

from __future__ import annotations

import hashlib
from pathlib import Path

from velodrome.foundation.download import (
    DownloadError,
    Progress,
    discard,
    download,
    download_part,
    state_path,
)
from velodrome.foundation.errors import UnknownNameError, WeightsError
from velodrome.foundation.files import sha256_file
from velodrome.optimizers.learned.weights.published import PUBLISHED, Published
from velodrome.optimizers.learned.weights.store import check_sizes, refuse_other
from velodrome.optimizers.velo.weights import official
from velodrome.optimizers.velo.weights.msgpack import parse_arrays


def fetch_weights(
    name: str = "velo",
    *,
    attempts: int = 5,
    pause_seconds: float = 1.0,
    progress: Progress | None = None,
) -> Path:
    """Fetch named weights into the cache and return their path; at once if they are there.

    A download that was cut off is resumed, in this call and in later ones. The file takes its
    place only when everything agrees that is known of it: size and SHA-256, or the server's
    checksum; its arrays; and the hash recorded on first use.

    Args:
      name: ``"velo"``, the official checkpoint, or another published optimizer, such as ``"celo"``.
      attempts: How often to try in all if the connection drops, at least 1.
      pause_seconds: Wait before the second attempt; doubled for each one after it.
      progress: Called with (bytes so far, bytes in all).

    Raises:
      UnknownNameError: Nothing of that name can be fetched.
      WeightsError: No network, or what came is not what was published.

    Examples:
      >>> path = velodrome.fetch_weights("velo")  # doctest: +SKIP
      >>> velo = velodrome.velo(num_steps=100, weights="velo")  # doctest: +SKIP
    """
    if name == "velo":
        return official.fetch_weights(
            attempts=attempts, pause_seconds=pause_seconds, progress=progress
        )
    if name not in PUBLISHED:
        raise UnknownNameError("set of weights to fetch", name, ["velo", *PUBLISHED])
    one = PUBLISHED[name]
    try:
        if one.sha256 is None or one.size is None:
            return _fetch_and_record(one, attempts, pause_seconds, progress)
        return download(
            one.url,
            one.path,
            size=one.size,
            sha256=one.sha256,
            attempts=attempts,
            pause_seconds=pause_seconds,
            progress=progress,
        )
    except DownloadError as error:
        raise WeightsError(
            f"{error} Run the command again with a network; or fetch that address on another "
            f"machine and put the file at {one.path}; or give the path of a copy to "
            f"{name}:PATH. Licence: {one.licence}."
        ) from error
    except OSError as error:
        raise WeightsError(
            f"cannot write {one.path}: {error.strerror or error}. Make room, or set "
            "VELODROME_CACHE to a directory that you may write to, and run the command again."
        ) from error


def _fetch_and_record(
    one: Published, attempts: int, pause_seconds: float, progress: Progress | None
) -> Path:
    """Fetch a file whose hash nobody has published."""
    if one.path.is_file() and one.first_use.fetched(sha256_file(one.path)):
        return one.path
    part = one.path.with_name(one.path.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    download_part(one.url, part, attempts=attempts, pause_seconds=pause_seconds, progress=progress)
    data = part.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        check_sizes(one, parse_arrays(data, one.tree.layout, name=one.url), where=one.url)
        refuse_other(one, sha256, where=f"what {one.url} sends now")
    except WeightsError:
        discard(part)
        raise
    # The record goes first: were it the other way round, a crash in between would leave a file
    # whose origin nobody knows.
    one.first_use.write(sha256, size=len(data), origin="fetched")
    part.replace(one.path)
    state_path(part).unlink(missing_ok=True)
    return one.path
