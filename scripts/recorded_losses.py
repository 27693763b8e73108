"""Record the losses that built-in weights reach on three small tasks of ``heldout-40``.

``python scripts/recorded_losses.py`` trains them (two minutes) and writes the losses beside the
weights. Run it when weights change. A test trains the tasks again and compares.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from velodrome.foundation.files import atomic_write_json
from velodrome.optimizers.velo.weights.store import weights_hash, weights_path
from velodrome.suites.catalog import load_suite
from velodrome.suites.training.train import train

WEIGHTS = ("velo-tiny", "velo-tiny-2", "velo-tiny-3")
TASKS = ("mlp-09-mnist5k", "cnn-07-photos-new-data", "rnn-05-kjv")
STEPS = 50


def record_path(weights: str) -> Path:
    """Return where the losses of built-in weights are recorded."""
    return weights_path(weights).with_suffix(".losses.json")


def measure(weights: str, labels: Sequence[str] = TASKS) -> dict[str, Any]:
    """Train tasks of ``heldout-40`` once with built-in weights.

    Returns:
      The hash of the weights, the steps, and for each task its hash and its train losses (nats)
      after 0, 10, ... steps.
    """
    known = {task.label: task for task in load_suite("heldout-40").tasks}
    rows = []
    for label in labels:
        curve = train(known[label], f"velo:{weights}", steps=STEPS)
        losses = [float(f"{loss:.6g}") for loss in curve["train loss"]]
        rows.append({"task": label, "hash": known[label].hash, "losses": losses})
    return {"weights": weights_hash(weights), "steps": STEPS, "tasks": rows}


def main() -> int:
    """Measure and write; return the exit status."""
    for weights in WEIGHTS:
        record = measure(weights)
        atomic_write_json(record_path(weights), record)
        print(json.dumps(record, indent=1))
        print(record_path(weights))
    return 0


if __name__ == "__main__":
    sys.exit(main())
