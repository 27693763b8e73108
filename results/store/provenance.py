"""Where results come from: suite, protocol, data, optimizers and their cost, versions, devices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import numpy as np
import pandas as pd

from velodrome.foundation.canonical import canonical_json, content_hash
from velodrome.foundation.text import plural
from velodrome.results.store.cell import Cell
from velodrome.results.store.records import (
    CostRecord,
    Device,
    Manifest,
    SpecRecord,
    SpreadRecord,
    TrainedOptimizer,
)
from velodrome.results.store.shard import ShardRecord
from velodrome.results.store.store import Store

PROVENANCE_COLUMNS = ("what", "value")
SPEC_COLUMNS = (
    "index", "task", "family", "hash", "data", "provenance", "data_hash", "batch_size",
    "parameters", "spec",
)  # fmt: skip

#: Key of the manifest, outside of every hash: a list of ``{optimizer: {name, version, identity},
#: amount, unit, source, detail}``, for the optimizers whose meta-training has a known cost.
KEY: Literal["meta_training"] = "meta_training"
UNKNOWN = "not recorded"


def provenance_table(store: Store, cells: Iterable[Cell]) -> pd.DataFrame:
    """Return facts about a store and all its cells as rows ``what``, ``value``.

    What the store does not say is "not recorded".
    """
    manifest = store.manifest
    cells = list(cells)
    optimizers: dict[str, str] = {}
    data: dict[str, str] = {}
    for cell in cells:
        details = [f"version {cell.optimizer.version}"]
        for key, value in cell.optimizer.identity.items():
            # Of code, which has many parts, one hash.
            details.append(f"{key} {content_hash(value) if key == 'code' else value}")
        optimizers.setdefault(cell.label, f"{cell.name}, " + ", ".join(details))
        data.setdefault(cell.data.name, f"{cell.data.provenance}, {cell.data.content_hash}")
    costs = costs_by_label(manifest, cells)
    versions = manifest.get("versions", {})
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
        *((f"version of {name}", version) for name, version in versions.items()),
        *_imports(cells),
        *_other_versions(versions, shards),
        ("device", _device(manifest.get("device"))),
        *_other_devices(manifest, shards),
        *_spreads(shards),
    ]
    return pd.DataFrame(
        [(what, UNKNOWN if value in (None, "") else str(value)) for what, value in rows],
        columns=list(PROVENANCE_COLUMNS),
    )


def spec_table(store: Store, cells: Iterable[Cell]) -> pd.DataFrame:
    """Return one row per task; ``spec`` is its canonical JSON."""
    parameters = {cell.id: cell.cost.params for cell in store.plan.cells}
    specs = task_specs(store)
    rows: dict[str, dict[str, object]] = {}
    for cell in cells:
        task = cell.task
        spec = specs[task.index] if task.index < len(specs) else {}
        rows.setdefault(
            task.hash,
            {
                "index": task.index,
                "task": task.label,
                "family": task.family,
                "hash": task.hash,
                "data": cell.data.name,
                "provenance": cell.data.provenance,
                "data_hash": cell.data.content_hash,
                "batch_size": spec.get("batch_size", np.nan),
                "parameters": parameters.get(cell.id, np.nan),
                "spec": canonical_json(spec) if spec else "",
            },
        )
    return pd.DataFrame(list(rows.values()), columns=list(SPEC_COLUMNS))


def task_specs(store: Store) -> list[SpecRecord]:
    """Return the specs of the suite's tasks by index; empty ones where the store has none."""
    return [task.get("spec", {}) for task in store.suite.get("tasks", ())]


def _imports(cells: Iterable[Cell]) -> Iterator[tuple[str, str]]:
    """Yield the files of imported curves."""
    for cell in cells:
        for shard in cell.shards:
            if said := shard.metadata.get("imported"):
                maker = f", made by {by}" if (by := said.get("made_by")) else ""
                yield (
                    f"imported {cell.label} on {cell.task.label}",
                    f"{said['file']}, SHA-256 {said['sha256']}, at {said['time']}{maker}",
                )


def _other_versions(
    known: Mapping[str, str], shards: Iterable[ShardRecord]
) -> list[tuple[str, str]]:
    """Return versions of runs that differ from the manifest's, such as after an upgrade halfway."""
    others: dict[str, set[str]] = {}
    for shard in shards:
        for name, version in shard.metadata.get("versions", {}).items():
            if version != known.get(name):
                others.setdefault(name, set()).add(version)
    return [(f"also run with {name}", ", ".join(sorted(v))) for name, v in sorted(others.items())]


def _other_devices(manifest: Manifest, shards: Iterable[ShardRecord]) -> list[tuple[str, str]]:
    known = _device(manifest.get("device"))
    found = {_device(shard.metadata.get("device")) for shard in shards} - {known, None}
    return [("runs computed on", device) for device in sorted(str(d) for d in found)]


def _spreads(shards: Iterable[ShardRecord]) -> list[tuple[str, str]]:
    """Return on how many devices together runs were trained, where any was spread."""
    found = {_spread_text(part) for shard in shards for part in shard.metadata.get("spread", ())}
    return [("runs trained on", text) for text in sorted(found)]


def _spread_text(part: SpreadRecord) -> str:
    if "sharding" not in part:  # the rest, or the beginning, of a run that was spread
        return "1 device, for a part of their steps"
    return f"{plural(part['devices'], 'device')} together, sharding {part['sharding']}"


def _device(device: Device | None) -> str | None:
    return ", ".join(f"{key} {value}" for key, value in device.items()) if device else None


def joined_costs(manifests: Iterable[Manifest]) -> list[CostRecord]:
    """Return the costs in several manifests, each optimizer's once."""
    found: dict[str, CostRecord] = {}
    for manifest in manifests:
        for cost in manifest.get(KEY, ()):
            found.setdefault(_key(cost["optimizer"]), cost)
    return list(found.values())


def costs_by_label(manifest: Manifest, cells: Iterable[Cell]) -> dict[str, str]:
    """Return what meta-training cost, in words, by the label of the optimizer.

    An optimizer with weights but without a recorded cost is `UNKNOWN`.
    """
    known = {_key(cost["optimizer"]): cost_text(cost) for cost in manifest.get(KEY, ())}
    found: dict[str, str] = {}
    for cell in cells:
        ran = cell.optimizer
        text = known.get(_key({"name": ran.name, "version": ran.version, "identity": ran.identity}))
        if text or "weights" in cell.optimizer.identity:
            found.setdefault(cell.label, text or UNKNOWN)
    return found


def cost_text(cost: CostRecord) -> str:
    """Write a cost as ``0.78 CPU hours (650 outer steps; by the card of its weights)``."""
    # Two digits, without an exponent: 4,000 and not 4e+03.
    rounded = float(f"{cost['amount']:.2g}")
    detail = cost.get("detail")
    about = f"{detail}; " if detail else ""
    return f"{rounded:,.10g} {cost['unit']} ({about}by {cost['source']})"


def _key(optimizer: TrainedOptimizer) -> str:
    """Return what makes two optimizers the same one; labels do not count."""
    return canonical_json(dict(optimizer))
