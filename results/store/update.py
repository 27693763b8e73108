"""What may change in a store later: its plan, and what is known of the cost of meta-training.

Both write the manifest again: only a run that holds the store's directory may do that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from velodrome.foundation.files import atomic_write_json
from velodrome.results.store.json_files import checked
from velodrome.results.store.plan import Plan
from velodrome.results.store.provenance import KEY
from velodrome.results.store.records import CostRecord, Manifest
from velodrome.results.store.store import FAILED, Store

REPLACED = "replaced"
"""The folder of results that belong to no planned cell any more."""


def replace_plan(store: Store, plan: Plan) -> int:
    """Take another plan of the same suite.

    Cells and shards that both plans have keep their results: their ids stand for everything
    that they depend on. All other results move to the folder :data:`REPLACED`.

    Returns:
      How many files moved.
    """
    store.check_writable()
    directory = store.directory
    cells, shards = {cell.id for cell in plan.cells}, {shard.id for shard in plan.shards}
    moved = 0
    for folder, kept in (("shards", shards), ("failures", shards), ("timings", cells)):
        for path in (directory / folder).glob("[!.]*"):
            if path.stem.removesuffix(FAILED) not in kept:
                target = directory / REPLACED / folder / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
                moved += 1
    # A manifest without the hash goes with every plan: no moment in between is a damaged store.
    unhashed = cast(Manifest, {**store.manifest, "plan_hash": None})
    atomic_write_json(directory / "manifest.json", unhashed)
    atomic_write_json(directory / "plan.json", plan.to_json())
    store.manifest = cast(Manifest, {**unhashed, "plan_hash": plan.hash})
    atomic_write_json(directory / "manifest.json", store.manifest)
    store.plan = plan
    return moved


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
