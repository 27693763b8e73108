"""Where results come from: suite, protocol, data, optimizers, versions, device, command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from velodrome.foundation.canonical import canonical_json
from velodrome.results.store.cell import Cell
from velodrome.results.store.metatraining import UNKNOWN, costs_by_label
from velodrome.results.store.store import Store

PROVENANCE_COLUMNS = ("what", "value")
SPEC_COLUMNS = (
    "index", "task", "family", "hash", "data", "provenance", "data_hash", "batch_size",
    "parameters", "spec",
)  # fmt: skip


def provenance_table(store: Store, cells: Iterable[Cell]) -> pd.DataFrame:
    """Facts about a store as rows ``what``, ``value``; what it does not say is "not recorded".

    Args:
      store: opened for reading.
      cells: all of its cells.
    """
    manifest = store.manifest
    cells = list(cells)
    costs = costs_by_label(manifest, cells)
    optimizers: dict[str, str] = {}
    data: dict[str, str] = {}
    for cell in cells:
        identity = dict(cell.optimizer.get("identity") or {})
        details = [f"version {cell.optimizer.get('version', 1)}"]
        details += [f"{key} {value}" for key, value in identity.items()]
        optimizers.setdefault(cell.label, f"{cell.name}, " + ", ".join(details))
        if cell.data:
            data.setdefault(
                str(cell.data.get("name")),
                f"{cell.data.get('provenance', 'unknown')}, {cell.data.get('content_hash', '')}",
            )
    shards = [shard for cell in cells for shard in cell.shards]
    rows: list[tuple[str, object]] = [
        ("suite", manifest["suite"].get("name")),
        ("suite hash", manifest["suite"]["hash"]),
        ("protocol", canonical_json(manifest.get("protocol", {}))),
        ("protocol hash", manifest["protocol_hash"]),
        ("plan hash", manifest.get("plan_hash")),
        ("command", manifest.get("command")),
        ("created", manifest.get("created")),
        ("kinds of data", manifest.get("data")),
        *((f"data {name}", text) for name, text in sorted(data.items())),
        *((f"optimizer {label}", text) for label, text in optimizers.items()),
        *((f"meta-training of {label}", text) for label, text in costs.items()),
        *((f"version of {name}", v) for name, v in (manifest.get("versions") or {}).items()),
        *_other_versions(manifest, shards),
        ("device", _device(manifest.get("device"))),
        *_other_devices(manifest, shards),
    ]
    return pd.DataFrame(
        [(what, UNKNOWN if value in (None, "") else str(value)) for what, value in rows],
        columns=list(PROVENANCE_COLUMNS),
    )


def spec_table(store: Store, cells: Iterable[Cell]) -> pd.DataFrame:
    """One row per task; see :data:`SPEC_COLUMNS`. ``spec`` is its canonical JSON."""
    costs = {cell["id"]: cell.get("cost") or {} for cell in store.plan.get("cells", ())}
    specs = task_specs(store)
    rows: dict[str, dict[str, Any]] = {}
    for cell in cells:
        index = cell.task.get("index")
        spec = specs[index] if isinstance(index, int) and index < len(specs) else {}
        row = rows.setdefault(
            str(cell.task["hash"]),
            {
                "index": index,
                "task": cell.task.get("label"),
                "family": cell.task.get("family"),
                "hash": cell.task["hash"],
                "batch_size": spec.get("batch_size", np.nan),
                "parameters": costs.get(cell.id, {}).get("params", np.nan),
                "spec": canonical_json(spec) if spec else "",
            },
        )
        if cell.data and "data" not in row:
            row |= {
                "data": cell.data.get("name"),
                "provenance": cell.data.get("provenance"),
                "data_hash": cell.data.get("content_hash"),
            }
    return pd.DataFrame(list(rows.values()), columns=list(SPEC_COLUMNS))


def task_specs(store: Store) -> list[Mapping[str, Any]]:
    """The specs of the suite's tasks, by index; empty ones where the store has none."""
    return [task.get("spec") or {} for task in store.suite.get("tasks", ())]


def _other_versions(
    manifest: Mapping[str, Any], shards: Iterable[Any]
) -> Iterable[tuple[str, object]]:
    """Versions of runs that differ from the manifest's, such as after an upgrade halfway."""
    known = manifest.get("versions") or {}
    others: dict[str, set[str]] = {}
    for shard in shards:
        for name, version in (shard.metadata.get("versions") or {}).items():
            if version != known.get(name):
                others.setdefault(name, set()).add(str(version))
    return [(f"also run with {name}", ", ".join(sorted(v))) for name, v in sorted(others.items())]


def _other_devices(
    manifest: Mapping[str, Any], shards: Iterable[Any]
) -> Iterable[tuple[str, object]]:
    known = _device(manifest.get("device"))
    found = {_device(shard.metadata.get("device")) for shard in shards} - {known, None}
    return [("runs computed on", device) for device in sorted(str(d) for d in found)]


def _device(device: Mapping[str, Any] | None) -> str | None:
    return ", ".join(f"{key} {value}" for key, value in device.items()) if device else None
