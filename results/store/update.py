"""What may change in a store later: its plan, and what is known of the cost of meta-training.

Both write the manifest again: only a run that holds the store's directory may do that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from velodrome.foundation.files import atomic_write_json
from velodrome.results.store.json_files import checked
from velodrome.results.store.plan import Plan
from velodrome.results.store.provenance import KEY
from velodrome.results.store.records import CostRecord, Manifest
from velodrome.results.store.store import FAILED, Store

REPLACED = "replaced"
"""The folder of results that belong to no planned cell any more."""


def replace_plan(store: Store, plan: Plan) -> tuple[int, int]:
    """Take another plan of the same suite.

    Cells and shards that both plans have keep their results: their ids stand for everything
    that they depend on. All other results move to the folder :data:`REPLACED`, and those that lie
    there and belong to the new plan move back.

    Returns:
      How many files moved out, and how many moved back.
    """
    store.check_writable()
    directory, replaced = store.directory, store.directory / REPLACED
    cells, shards = {cell.id for cell in plan.cells}, {shard.id for shard in plan.shards}
    planned = {"shards": shards, "failures": shards, "timings": cells}
    out = back = 0
    for folder, kept in planned.items():
        for path in (directory / folder).glob("[!.]*"):
            if path.stem.removesuffix(FAILED) not in kept:
                _move(path, replaced / folder)
                out += 1
    # A manifest without the hash goes with every plan: no moment in between is a damaged store.
    unhashed = cast(Manifest, {**store.manifest, "plan_hash": None})
    atomic_write_json(directory / "manifest.json", unhashed)
    atomic_write_json(directory / "plan.json", plan.to_json())
    store.manifest = cast(Manifest, {**unhashed, "plan_hash": plan.hash})
    atomic_write_json(directory / "manifest.json", store.manifest)
    store.plan = plan
    for folder, kept in planned.items():
        for path in (replaced / folder).glob("[!.]*"):
            fits = path.stem.removesuffix(FAILED) in kept
            if fits and not (directory / folder / path.name).exists():
                _move(path, directory / folder)
                back += 1
    return out, back


def _move(path: Path, folder: Path) -> None:
    """Move a file into a folder; it takes the place of none that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    target, number = folder / path.name, 1
    while target.exists():
        number += 1
        target = folder / f"{path.stem}.{number}{path.suffix}"
    path.replace(target)


def add_costs(store: Store, costs: Sequence[CostRecord]) -> None:
    """Write the costs of meta-training into a manifest that has none yet; see `KEY`.

    Raises:
      VelodromeError: The manifest cannot be written.
    """
    if KEY in store.manifest or not costs:
        return
    store.check_writable()
    path = store.directory / "manifest.json"
    manifest = {**store.manifest, KEY: [dict(cost) for cost in costs]}
    store.manifest = checked(Manifest, manifest, path)
    atomic_write_json(path, manifest)
