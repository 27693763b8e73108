"""The log of a meta-training run: one JSON record a line, and the same as a line to read."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from velodrome.foundation.errors import StoreError
from velodrome.foundation.files import atomic_write_text
from velodrome.optimizers.metatrain.directory import OTHERWISE


def resume_log(
    path: Path, records: Sequence[dict[str, Any]], steps: int
) -> tuple[int, dict[str, Any] | None]:
    """Drops the records of an evolution after its checkpoint: they will be made again.

    Args:
      path: The log; it is written anew.
      records: What `read_log` found in it.
      steps: The outer steps that the checkpoint has.

    Returns:
      The outer step of the last validation that is kept (-1: none), and what it found.

    Raises:
      StoreError: A line is no record of an evolution; nothing is changed.
    """
    for number, record in enumerate(records, start=1):
        if not any(type(record.get(key)) is int for key in ("step", "validation")):
            raise damaged(path, number)
    kept = [
        record
        for record in records
        if record.get("step", -1) < steps and record.get("validation", -1) <= steps
    ]
    lines = (json.dumps(record, allow_nan=False) for record in kept)
    atomic_write_text(path, "".join(f"{line}\n" for line in lines))
    validations = [record for record in kept if "validation" in record]
    if not validations:
        return -1, None
    found = dict(validations[-1])
    return found.pop("validation"), found


def read_log(path: Path) -> list[dict[str, Any]]:
    """Returns the records of a log; none if there is no log.

    A last line that a kill cut short is left out.

    Raises:
      StoreError: Another line is no record.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        del lines[-1]
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise damaged(path, number)
        records.append(record)
    return records


def damaged(path: Path, number: int) -> StoreError:
    """Returns the error that says of line ``number`` of a log that it is no record."""
    return StoreError(
        f"{path} is damaged: line {number} is no record of this run. Mend it if you know what it "
        f"was. {OTHERWISE}"
    )


def write_record(log: TextIO, record: dict[str, Any]) -> None:
    """Writes one record as a line, at once."""
    log.write(json.dumps(record, allow_nan=False) + "\n")
    log.flush()


def step_line(record: dict[str, Any]) -> str:
    """Returns a line on one outer step: last losses, lengths, time, pairs that were left out."""
    losses = " ".join(
        f"{row['family']} {row['loss']:.2f}@{row['length']}"
        if row["loss"] is not None
        else f"{row['family']} -@{row['length']}"
        for row in record["tasks"]
    )
    dropped = f"  {record['dropped']} dropped" if record["dropped"] else ""
    dropped += f"  {record['lost']} lost" if record.get("lost") else ""
    return f"{record['step']:6d}  {losses}  {record['seconds']:.1f} s{dropped}"


def validation_line(step: int, found: dict[str, Any]) -> str:
    """Returns a line on one validation."""
    ratio = "none" if found["log_ratio"] is None else f"{found['log_ratio']:+.3f}"
    return (
        f"{step:6d}  validation: mean log(loss / Adam's best) {ratio}, won "
        f"{found['won']} of {len(found['tasks'])}, {found['diverged']} diverged"
    )


def to_stderr(line: str) -> None:
    """Prints a line of progress."""
    print(line, file=sys.stderr, flush=True)
