"""Event files of TensorBoard, written by tensorboardX: no TensorFlow, no torch."""

# tensorboardX has no types.
# pyright: basic

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from velodrome.foundation.extras import optional


def require_tensorboard(otherwise: str) -> None:
    """Check that tensorboardX is installed.

    Raises:
      VelodromeError: It is not; the message ends in what to do ``otherwise``.
    """
    optional(
        "tensorboardX.record_writer",
        extra="tensorboard",
        needed_by="writing files of TensorBoard",
        otherwise=otherwise,
    )


class EventFile:
    """A file of scalars; it needs the optional library tensorboardX.

    Args:
      path: The file; TensorBoard finds it by a name that contains ``tfevents``.
      started: Seconds since 1970.
      first_step: TensorBoard forgets what earlier files of the folder say from this step on.
    """

    def __init__(self, path: Path, *, started: float, first_step: int | None = None):
        from tensorboardX.proto import event_pb2, summary_pb2  # noqa: PLC0415 - an optional extra
        from tensorboardX.record_writer import RecordWriter  # noqa: PLC0415 - an optional extra

        # The classes of these modules are made when they are imported; no type checker sees them.
        self._events: Any = event_pb2
        self._summaries: Any = summary_pb2
        self._writer = RecordWriter(str(path))
        self._write(started, file_version="brain.Event:2")
        if first_step is not None:
            session = self._events.SessionLog(status=self._events.SessionLog.START)
            self._write(started, step=first_step, session_log=session)

    def add(self, tag: str, value: int | float, step: int, *, at: float | None = None) -> None:
        """Write a scalar.

        Args:
          tag: Its name; a slash ends the name of a section.
          at: Seconds since 1970. None: now.
        """
        number = self._summaries.Summary.Value(tag=tag, simple_value=value)
        summary = self._summaries.Summary(value=[number])
        self._write(time.time() if at is None else at, step=step, summary=summary)

    def flush(self) -> None:
        """Put on disk what was written."""
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _write(self, at: float, **fields: Any) -> None:
        self._writer.write(self._events.Event(wall_time=at, **fields).SerializeToString())
