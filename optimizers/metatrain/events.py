"""TensorBoard events of a run, written by tensorboardX: no TensorFlow, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import VelodromeError


class Events:
    """Writes the records of `loop.metatrain` as scalars.

    Args:
      writer: A ``SummaryWriter``.
    """

    def __init__(self, writer: Any):
        self._writer = writer

    def step(self, record: Mapping[str, Any]) -> None:
        """Writes an outer step: the meta-loss of each family, the gradient, what it cost."""
        at = record["step"]
        families: dict[str, list[float]] = {}
        for row in record["tasks"]:
            if row["loss"] is not None:
                families.setdefault(row["family"], []).append(row["loss"])
        for family, losses in families.items():
            self._writer.add_scalar(f"meta-loss/{family}", sum(losses) / len(losses), at)
        for name in ("gradient_norm", "dropped", "inner_steps", "seconds"):
            if name in record:
                self._writer.add_scalar(f"step/{name}", record[name], at)
        self._writer.flush()

    def validation(self, step: int, found: Mapping[str, Any]) -> None:
        """Writes a validation: the mean log ratio to Adam's best loss, and each task's."""
        rows = [("mean", found.get("log_ratio"))]
        rows += [(row["task"], row["log_ratio"]) for row in found.get("tasks", [])]
        for name, ratio in rows:
            if ratio is not None:
                self._writer.add_scalar(f"validation/{name}", ratio, step)
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()


def open_events(directory: Path, *, first_step: int) -> Events:
    """Opens the events of a run in ``directory``; TensorBoard forgets those after ``first_step``.

    Raises:
      VelodromeError: tensorboardX is not installed.
    """
    return Events(_summary_writer()(str(directory / "events"), purge_step=first_step))


def check_events() -> None:
    """Raises a VelodromeError if tensorboardX is not installed."""
    _summary_writer()


def _summary_writer() -> Any:
    try:
        from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise VelodromeError(
            "record.tensorboard is true, but tensorboardX is not installed: pip install "
            "'velodrome[tensorboard]' (in a clone, pip install -e '.[tensorboard]'), or set it to "
            "false."
        ) from error
    return SummaryWriter
