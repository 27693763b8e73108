"""The log of a meta-training run: JSON records, lines to read, and TensorBoard's events."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from velodrome.foundation.errors import StoreError
from velodrome.foundation.files import atomic_write_text
from velodrome.foundation.tensorboard import EventFile
from velodrome.optimizers.metatrain.directory import OTHERWISE

#: A record of the log: JSON.
Record: TypeAlias = dict[str, Any]


def resume_log(path: Path, records: Sequence[Record], steps: int) -> tuple[int, Record | None]:
    """Drop the records of an evolution after its checkpoint, because it makes those steps again.

    It rewrites the log, in which `read_log` found ``records``.

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


def read_log(path: Path) -> list[Record]:
    """Return the records of a log; none if there is no log.

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
    """Return the error for line ``number`` of a log, which is no record."""
    return StoreError(
        f"{path} is damaged: line {number} is no record of this run. Mend it if you know what it "
        f"was. {OTHERWISE}"
    )


def write_record(log: TextIO, record: Record) -> None:
    log.write(json.dumps(record, allow_nan=False) + "\n")
    log.flush()


def step_line(record: Record) -> str:
    """Return a line on one outer step: last losses, lengths, time, pairs that were left out."""
    losses = " ".join(
        f"{row['family']} {row['loss']:.2f}@{row['length']}"
        if row["loss"] is not None
        else f"{row['family']} -@{row['length']}"
        for row in record["tasks"]
    )
    dropped = f"  {record['dropped']} dropped" if record["dropped"] else ""
    dropped += f"  {record['lost']} lost" if record.get("lost") else ""
    return f"{record['step']:6d}  {losses}  {record['seconds']:.1f} s{dropped}"


def validation_line(step: int, found: Record) -> str:
    ratio = "none" if found["log_ratio"] is None else f"{found['log_ratio']:+.3f}"
    return (
        f"{step:6d}  validation: mean log(loss / Adam's best) {ratio}, won "
        f"{found['won']} of {len(found['tasks'])}, {found['diverged']} diverged"
    )


def to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Events:
    """TensorBoard's events of an evolution, in the folder ``events`` of its directory.

    Args:
      first_step: TensorBoard forgets what earlier files say from this outer step on.
    """

    def __init__(self, directory: Path, *, first_step: int):
        folder, now = directory / "events", time.time()
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads files in the order of their names.
        path = folder / f"events.out.tfevents.{now:.6f}.{socket.gethostname()}"
        self._file = EventFile(path, started=now, first_step=first_step)

    def step(self, record: Record) -> None:
        """Write an outer step: the meta-loss of each family, the gradient, its cost."""
        at = record["step"]
        families: dict[str, list[float]] = {}
        for row in record["tasks"]:
            if row["loss"] is not None:
                families.setdefault(row["family"], []).append(row["loss"])
        for family, losses in families.items():
            self._file.add(f"meta-loss/{family}", sum(losses) / len(losses), at)
        for name in ("gradient_norm", "dropped", "inner_steps", "seconds"):
            if name in record:
                self._file.add(f"step/{name}", record[name], at)
        self._file.flush()

    def validation(self, step: int, found: Record) -> None:
        """Write a validation: the mean log ratio to Adam's best loss, and each task's."""
        rows = [("mean", found.get("log_ratio"))]
        rows += [(row["task"], row["log_ratio"]) for row in found.get("tasks", [])]
        for name, ratio in rows:
            if ratio is not None:
                self._file.add(f"validation/{name}", ratio, step)
        self._file.flush()

    def close(self) -> None:
        self._file.close()
