"""The log of a meta-training run: one JSON record a line, and the same as a line to read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, TextIO

from foundation.files import atomic_write_text

LOG = "log.jsonl"


def truncate_log(path: Path, steps: int) -> None:
    """Drops the records of steps after the checkpoint: they will be made again."""
    if not path.is_file():
        return
    kept = [
        json.dumps(record, allow_nan=False)
        for record in read_log(path)
        if record.get("step", record.get("validation", 0)) < steps
    ]
    atomic_write_text(path, "".join(f"{line}\n" for line in kept))


def read_log(path: Path) -> list[dict[str, Any]]:
    """Returns the records of a log, as far as they are whole; none if there is no log."""
    if not path.is_file():
        return []
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            break  # a line cut short by a kill; nothing valid follows it
    return records


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
