"""Make the store of a suite, open it to continue, or only look into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime

from velodrome.foundation.errors import StoreError
from velodrome.optimizers.registry import optimizers
from velodrome.results.store.json_files import Json
from velodrome.results.store.plan import Plan
from velodrome.results.store.provenance import KEY, add_costs
from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import missing_data
from velodrome.suites.suite import Suite
from velodrome.suites.training.environment import command_line, device_description, versions


def open_store(suite: Suite, out: str | os.PathLike[str], plan: Plan) -> Store:
    """Make the store of a suite, or open the existing one, which keeps its plan.

    ``plan`` is the suite's plan as it would be made now.

    Raises:
      StoreError: It holds another suite or protocol, or cells that would have other numbers now.
      VelodromeError: It cannot be written.
    """
    manifest = _manifest(suite, plan)
    store = Store.create(out, manifest=manifest, plan=plan, suite=suite.to_json())
    _check_same(store, plan)
    add_costs(store, manifest[KEY])
    return store


def look_into_store(suite: Suite, out: str | os.PathLike[str], plan: Plan) -> Store:
    """Open an existing store for reading only; see `open_store`.

    Raises:
      StoreError: A run would refuse the store.
    """
    store = Store.open(out, read_only=True)
    store.check_same(_manifest(suite, plan), suite.to_json())
    if not missing_data(plan):  # cells of missing data have other ids
        _check_same(store, plan)
    return store


def announcements(store: Store, backend: str) -> Iterator[str]:
    """Yield what a user should know about the store that a run on ``backend`` continues."""
    for problem in store.problems:
        yield f"Skipped {problem.path}: {problem.reason}"
    if store.plan.backend != backend:
        yield (
            f"The plan of {store.directory} was made for {store.plan.backend!r}; it is used "
            f"unchanged on {backend!r}, where its losses agree only for the first steps."
        )
    devices = device_description(), store.manifest.get("device", {})
    flags, begun_with = (device.get("flags", "none") for device in devices)
    if flags != begun_with:
        yield (
            f"{store.directory} was begun with other compiler flags ({begun_with}; now {flags}): "
            "losses agree only for the first steps."
        )
    then, now = store.manifest.get("versions", {}), versions()
    changed = [name for name, version in now.items() if then.get(name) != version]
    if changed:
        yield (
            f"{store.directory} was begun with other versions of {', '.join(changed)}; each shard "
            "records its own."
        )


def _manifest(suite: Suite, plan: Plan) -> Json:
    return {
        "suite": {"name": suite.name, "hash": suite.hash},
        "protocol": suite.protocol.to_json(),
        "protocol_hash": suite.protocol.hash,
        "plan_hash": plan.hash,
        "data": "+".join(sorted({cell.data.provenance for cell in plan.cells})),
        "command": command_line(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "device": device_description(),
        KEY: _meta_training(suite),
    }


def _meta_training(suite: Suite) -> list[Json]:
    """Return the known costs of meta-training; no hash depends on them."""
    found: list[Json] = []
    for name in suite.optimizers:
        spec = optimizers.get(name)
        if spec.meta_training:
            whose = {"name": name, "version": spec.version, "identity": dict(spec.identity)}
            found.append({"optimizer": whose, **spec.meta_training.to_json()})
    return found


def _check_same(store: Store, plan: Plan) -> None:
    """Refuse a store whose cells would have other numbers now, such as with changed weights."""
    stored = {cell.id for cell in store.plan.cells}
    changed = [cell for cell in plan.cells if cell.id not in stored]
    if changed:
        cell = changed[0]
        raise StoreError(
            f"{store.directory} was made with another {cell.optimizer.label} or other data "
            f"of {cell.task.label} (weights, version or contents have changed since). They "
            "never mix: choose another directory."
        )
