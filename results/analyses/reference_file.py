"""Files of published envelopes: reading them, and telling their kinds apart."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from velodrome.foundation.errors import DataError
from velodrome.results.speedup.envelope import steps_to_loss

ADAM = "adam"
FOUR = "four-optimizers"

ANCHORS = {
    "Conv_Cifar100_32x64x64": {ADAM: 0.692645, FOUR: 0.610774},
    "Conv_Cifar10_32x64x64": {ADAM: 0.00223008, FOUR: 0.000114904},
    "RNNLM_lm1bbytes_Patch32_LSTM128_Embed64": {ADAM: 1.38147, FOUR: 1.3741},
}
"""Published losses after 100,000 steps by which the kinds are told apart."""

_ANCHOR_STEP = 100_000
_ANCHOR_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Envelope:
    """The envelope of one task.

    Attributes:
      steps: training steps, ascending from 0.
      losses: lowest smoothed train loss by then, never rising.
    """

    steps: Float[np.ndarray, " point"]
    losses: Float[np.ndarray, " point"]

    def steps_to(self, losses: Float[np.ndarray, " loss"]) -> Float[np.ndarray, " loss"]:
        """First step at which each loss is reached; +inf where it never is."""
        return steps_to_loss(self.steps, self.losses, losses)


def read_envelopes(path: str | Path) -> dict[str, Envelope]:
    """Reads a published file: ``{task: [[steps], [losses]]}`` as JSON, or that in gzip.

    Raises:
      DataError: The file is not of that form; the message names the task.
    """
    file = Path(path)
    try:
        data = file.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        content = json.loads(data)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(
            f"{file} cannot be read as JSON ({error}); give the file speedup_over_adam.json of "
            "google/learned_optimization, as it is or in gzip, with --from FILE."
        ) from error
    if not isinstance(content, dict) or not content:
        raise DataError(f"{file} has no envelopes: expected an object of tasks.")
    return {str(task): _envelope(file, task, value) for task, value in content.items()}


def _envelope(file: Path, task: str, value: Any) -> Envelope:
    try:
        steps, losses = (np.asarray(part, np.float64) for part in value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{file}: {task} is not [[steps], [losses]] ({error}).") from error
    problem = ""
    if steps.ndim != 1 or steps.shape != losses.shape or len(steps) < 2:
        problem = f"has {steps.shape} steps and {losses.shape} losses"
    elif not np.isfinite(steps).all() or steps[0] != 0 or (np.diff(steps) <= 0).any():
        problem = "has steps that do not ascend from 0"
    elif not np.isfinite(losses).all() or (np.diff(losses) > 0).any():
        problem = "has losses that rise or are not finite: it is no envelope"
    if problem:
        raise DataError(f"{file}: {task} {problem}.")
    return Envelope(steps, losses)


def kind_of(envelopes: Mapping[str, Envelope]) -> str | None:
    """Tells the kind by the published values of a few tasks; None if none has a known one."""
    for task, values in ANCHORS.items():
        envelope = envelopes.get(task)
        if envelope is None or envelope.steps[-1] < _ANCHOR_STEP:
            continue
        loss = float(np.interp(_ANCHOR_STEP, envelope.steps, envelope.losses))
        for kind, anchor in values.items():
            if abs(loss / anchor - 1) < _ANCHOR_TOLERANCE:
                return kind
    return None
