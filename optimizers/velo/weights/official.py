"""The official VeLO checkpoint: where it is published, where it is kept, how it is recognised.

The checkpoint is the one Metz et al. (2022, arXiv 2211.09760) released as
``aug12_continue_on_bigger_2xbs_200kstep_bigproblem_v2_5620``. Its SHA-256 was never published
with it, so the hash of a copy fetched from the official place, and checked against the server's
own checksum, is written down on first use; any later change of the file is refused.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import WeightsError
from velodrome.foundation.files import atomic_write_json, cache_dir, sha256_file
from velodrome.optimizers.metacost import MetaTrainingCost

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


def official_path() -> Path:
    """Returns where the official checkpoint is kept in the cache, whether it is there or not."""
    return cache_dir() / "weights" / "velo" / "params"


def record_path() -> Path:
    """Returns where the hash of the official checkpoint is written down."""
    return official_path().with_name("record.json")


def read_record() -> dict[str, Any] | None:
    """Returns what was recorded on first use, or None if there was no first use yet.

    Returns:
      A dictionary with ``sha256`` (64 hexadecimal digits), ``bytes``, ``origin`` (``"fetched"``
      or ``"placed"``), ``checked`` (the server's checksum, or None) and ``recorded`` (time).

    Raises:
      WeightsError: The record exists, but cannot be read.
    """
    path = record_path()
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{path}: expected the JSON record of the official weights' hash, found something "
            f"unreadable ({error}). Delete it and run `velodrome weights fetch velo`."
        ) from error
    if not isinstance(record, dict) or not isinstance(record.get("sha256"), str):
        raise WeightsError(
            f"{path}: expected a JSON object with the field 'sha256', found {record!r:.80}. "
            "Delete it and run `velodrome weights fetch velo`."
        )
    return record


def write_record(sha256: str, *, origin: str, checked: str | None = None) -> None:
    """Writes down the hash that the official checkpoint has from now on.

    Args:
      sha256: SHA-256 of the file, 64 hexadecimal digits.
      origin: ``"fetched"`` from :data:`OFFICIAL_URL`, or ``"placed"`` by someone.
      checked: The server's checksum that the transport was checked against.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    atomic_write_json(
        record_path(),
        {
            "sha256": sha256,
            "bytes": OFFICIAL_BYTES,
            "origin": origin,
            "checked": checked,
            "url": OFFICIAL_URL,
            "recorded": now,
        },
    )


def refuse_change(found: str, *, where: str) -> None:
    """Refuses a file whose hash is not the recorded one; without a record, everything passes.

    Args:
      found: SHA-256 of the file at hand.
      where: Which file that is, for the message.

    Raises:
      WeightsError: The hash is not the recorded one.
    """
    record = read_record()
    if record is not None and record["sha256"] != found:
        raise WeightsError(
            f"{where} is not the file recorded on first use ({record.get('recorded')}): expected "
            f"SHA-256 {record['sha256']}, found {found}. If the change is intended, delete "
            f"{record_path()} and {official_path()} and run `velodrome weights fetch velo`."
        )


def is_official(path: Path) -> bool:
    """Whether ``path`` holds, byte for byte, the file that was fetched from the official place.

    A copy that someone put there is not recognised until it was fetched once: the architecture
    alone does not tell whose weights they are.
    """
    if path.stat().st_size != OFFICIAL_BYTES:
        return False
    record = read_record()
    return (
        record is not None
        and record.get("origin") == "fetched"
        and record["sha256"] == sha256_file(path)
    )
