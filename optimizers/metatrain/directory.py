"""The directory of a meta-training run: one run at a time, and none takes another's files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from velodrome.foundation.errors import StoreError
from velodrome.foundation.files import exclusive_directory

LOG = "log.jsonl"
CHECKPOINT = "checkpoint.safetensors"
WEIGHTS = "weights.safetensors"
CONFIG = "config.json"

#: How an error about a directory ends.
OTHERWISE = "Choose another directory, or start again with --restart (resume=False)."


@contextlib.contextmanager
def opened(out: Path, *, resume: bool, state: str) -> Iterator[None]:
    """Keeps other runs out of a directory, which is cleared unless the run may be resumed.

    Args:
      out: The directory; it is made if it is missing.
      resume: Whether to go on with what is there.
      state: The file that a run of this kind goes on from.

    Raises:
      StoreError: Another run is at work in it, or it has weights without ``state``.
      WriteError: It cannot be written to.
    """
    with exclusive_directory(out):
        if not resume:
            for name in (LOG, CHECKPOINT, WEIGHTS):
                (out / name).unlink(missing_ok=True)
            (out / WEIGHTS).with_suffix(".json").unlink(missing_ok=True)
        if (out / WEIGHTS).exists() and not (out / state).exists():
            raise StoreError(
                f"{out} has weights, but no {state} of the run that made them: they would be "
                f"replaced. {OTHERWISE}"
            )
        yield
