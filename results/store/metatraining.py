"""What meta-training the optimizers of a store cost: in its manifest, outside of every hash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from velodrome.foundation.canonical import canonical_json
from velodrome.foundation.files import atomic_write_json
from velodrome.results.store.cell import Cell
from velodrome.results.store.store import Store

KEY = "meta_training"
"""Of the manifest: a list of ``{optimizer: {name, version, identity}, amount, unit, source,
detail}``, with those optimizers of which it is known."""
UNKNOWN = "not recorded"


def add_costs(store: Store, costs: Sequence[Mapping[str, Any]]) -> None:
    """Writes the costs into the manifest of a store that says nothing of them yet.

    Args:
      store: begun before costs were recorded, or not; its optimizers are those of ``costs``.
      costs: see :data:`KEY`.

    Raises:
      VelodromeError: The manifest cannot be written.
    """
    if KEY in store.manifest or not costs:
        return
    store.manifest = {**store.manifest, KEY: [dict(cost) for cost in costs]}
    atomic_write_json(store.directory / "manifest.json", store.manifest)


def joined_costs(manifests: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The costs in several manifests, those of one optimizer once."""
    found: dict[str, Mapping[str, Any]] = {}
    for manifest in manifests:
        for cost in manifest.get(KEY) or ():
            found.setdefault(_key(cost["optimizer"]), cost)
    return list(found.values())


def costs_by_label(manifest: Mapping[str, Any], cells: Iterable[Cell]) -> dict[str, str]:
    """In words, by label: every optimizer of known cost, and every one that has weights.

    An optimizer with weights but without a recorded cost is :data:`UNKNOWN`.
    """
    known = {_key(cost["optimizer"]): cost_text(cost) for cost in manifest.get(KEY) or ()}
    found: dict[str, str] = {}
    for cell in cells:
        text = known.get(_key(cell.optimizer))
        if text or "weights" in (cell.optimizer.get("identity") or {}):
            found.setdefault(cell.label, text or UNKNOWN)
    return found


def cost_text(cost: Mapping[str, Any]) -> str:
    """``0.78 CPU hours (650 outer steps; by the card of its weights)``."""
    # Two digits, without an exponent: 4,000 and not 4e+03.
    rounded = float(f"{cost['amount']:.2g}")
    about = f"{cost['detail']}; " if cost.get("detail") else ""
    return f"{rounded:,.10g} {cost['unit']} ({about}by {cost['source']})"


def _key(optimizer: Mapping[str, Any]) -> str:
    """What tells optimizers apart, the label not being part of it."""
    identity = dict(optimizer.get("identity") or {})
    return canonical_json([optimizer["name"], optimizer.get("version", 1), identity])
