"""What a task is, in a few words: ``mlp 4x16 digits``, with its data, parameters and batch size."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

# Fields of a config that say how wide and how deep a network is, in this order: a product of the
# fields of the first width that is there. Defaults are not stored, so a depth may be missing.
_WIDTHS = (
    ("hidden_size",),
    ("rnn_size",),
    ("d_model_per_head", "num_heads"),
    ("head_dim", "num_heads"),
    ("base_channels",),
)
_DEPTH = "num_layers"


@dataclass(frozen=True)
class TaskWords:
    """One task: ``what`` it is, and two of its sizes; NaN where a store does not know them."""

    what: str
    parameters: float
    batch_size: float


def task_words(specs: pd.DataFrame) -> dict[int, TaskWords]:
    """Return the words of each task by its index, from `ReportData.specs`.

    A family of a plugin whose fields have other names is only called by its own.
    """
    found = {}
    for row in specs.to_dict("records"):
        spec = json.loads(row["spec"]) if row["spec"] else {}
        words = [str(row["family"]), network_size(spec.get("config", {})), str(row["data"])]
        what = " ".join(word for word in words if word)
        sizes = float(row["parameters"]), float(row["batch_size"])
        found[int(row["index"])] = TaskWords(what, *sizes)
    return found


def network_size(config: Mapping[str, Any]) -> str:
    """Return depth and width of a config: ``4x16``, ``16``, or nothing.

    >>> network_size({"num_layers": 4, "hidden_size": 16})
    '4x16'
    >>> network_size({"d_model_per_head": 11, "num_heads": 2})
    '22'
    """
    for names in _WIDTHS:
        sizes = [config[name] for name in names if isinstance(config.get(name), int)]
        if len(sizes) < len(names):
            continue
        width = math.prod(sizes)
        depth = config.get(_DEPTH)
        return f"{depth}x{width}" if isinstance(depth, int) and depth > 0 else f"{width}"
    return ""
