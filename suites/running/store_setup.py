"""Make the store of a suite, open it to continue, or only look into it."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from velodrome.foundation.errors import StoreError
from velodrome.foundation.text import plural
from velodrome.results.store.json_files import Json
from velodrome.results.store.plan import Plan, PlannedCell
from velodrome.results.store.provenance import KEY
from velodrome.results.store.records import CostRecord, TrainedOptimizer
from velodrome.results.store.store import Store
from velodrome.results.store.update import REPLACED, add_costs, replace_plan
from velodrome.suites.planning.plan import LoadedSuite, make_plan, missing_data
from velodrome.suites.training.environment import command_line, device_description, versions


def open_store(loaded: LoadedSuite, out: str | os.PathLike[str], plan: Plan) -> Store:
    """Make the store of a suite, or open the existing one, which keeps its plan: see `take_up`.

    ``plan`` is the suite's plan as it would be made now.

    Raises:
      StoreError: It holds another suite or protocol.
      VelodromeError: It cannot be written.
    """
    manifest = _manifest(loaded, plan)
    return Store.create(out, manifest=manifest, plan=plan, suite=loaded.suite.to_json())


def look_into_store(loaded: LoadedSuite, out: str | os.PathLike[str], plan: Plan) -> Store:
    """Open an existing store for reading only; see `open_store`.

    Raises:
      StoreError: A run would refuse the store.
    """
    store = Store.open(out, read_only=True)
    store.check_same(_manifest(loaded, plan), loaded.suite.to_json())
    if not missing_data(plan):  # cells of missing data have other ids
        _refuse_changed(store, _changed(store, plan))
    return store


def take_up(store: Store, loaded: LoadedSuite, plan: Plan, *, rerun_changed: bool) -> Iterator[str]:
    """Bring a store up to date, in a directory that no other run works in.

    It gets the costs of meta-training if it has none, and new cells in place of those that would
    have other numbers now.
    That is so if the code of an optimizer or family, weights or data have changed. All other cells
    keep their plan and their results. ``plan`` is the plan as it would be made now.

    Yields:
      What a user should know about it.

    Raises:
      StoreError: Some of these cells have results, and ``rerun_changed`` is not set.
    """
    add_costs(store, _meta_training(loaded))
    changed = _changed(store, plan)
    if not changed:
        return
    if not rerun_changed:
        _refuse_changed(store, changed)
    if plan.backend != store.plan.backend:
        plan = make_plan(loaded, backend=store.plan.backend)
    new = {old.id: new.id for old, new in _changed(store, plan)}
    cells = [plan.cell(new[cell.id]) if cell.id in new else cell for cell in store.plan.cells]
    planned = {cell.id: store.plan.shards_of(cell.id) for cell in store.plan.cells}
    planned |= {cell: plan.shards_of(cell) for cell in new.values()}
    shards = tuple(shard for cell in cells for shard in planned[cell.id])
    plan = dataclasses.replace(store.plan, cells=tuple(cells), shards=shards)
    out, back = replace_plan(store, plan)
    told = [", ".join(dict.fromkeys(_difference(*pair) for pair in changed))]
    folder = store.directory / REPLACED
    if out:
        told.append(f"{plural(out, 'file')} of old results moved to {folder}")
    if back:
        told.append(f"{plural(back, 'file')} of the same code and data came back from {folder}")
    yield f"{plural(len(changed), 'cell')} planned again: {'; '.join(told)}."


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


def _manifest(loaded: LoadedSuite, plan: Plan) -> Json:
    suite = loaded.suite
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
        KEY: _meta_training(loaded),
    }


def _meta_training(loaded: LoadedSuite) -> list[CostRecord]:
    """Return the known costs of meta-training; no hash depends on them."""
    found: list[CostRecord] = []
    for name, spec in loaded.optimizers.items():
        if spec.meta_training:
            whose: TrainedOptimizer = {
                "name": name, "version": spec.version, "identity": dict(spec.identity)
            }  # fmt: skip
            cost = spec.meta_training
            found.append(
                {
                    "optimizer": whose, "amount": cost.amount, "unit": cost.unit,
                    "source": cost.source, "detail": cost.detail,
                }
            )  # fmt: skip
    return found


def _changed(store: Store, plan: Plan) -> list[tuple[PlannedCell, PlannedCell]]:
    """Return the cells of a store that would have other numbers now, each with its new plan."""
    # Both are plans of one suite: they have the same tasks and optimizers in the same order.
    pairs = zip(store.plan.cells, plan.cells, strict=True)
    return [(old, new) for old, new in pairs if old.id != new.id]


def _refuse_changed(store: Store, changed: Sequence[tuple[PlannedCell, PlannedCell]]) -> None:
    """Refuse a store with results that would be other ones now."""
    shards: Counter[str] = Counter()
    for old, new in changed:
        done = sum(store.has_shard(shard.id) for shard in store.plan.shards_of(old.id))
        shards[_difference(old, new)] += done
    found = [f"{what} ({plural(count, 'shard')})" for what, count in shards.items() if count]
    if found:
        raise StoreError(
            f"{store.directory} has results of what has changed since: {'; '.join(found)}. Old "
            "and new results never mix. To run these again, give the same command with "
            "--rerun-changed (in Python, rerun_changed=True): the old results move to "
            f"{store.directory / REPLACED}, and all others stay. Or choose another directory."
        )


def _difference(old: PlannedCell, new: PlannedCell) -> str:
    """Say what it is that changed between two plans of a cell."""
    if old.task.hash != new.task.hash:
        return f"the code of the family {new.task.family}"
    before, after = old.optimizer.identity, new.optimizer.identity
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if old.optimizer.version != new.optimizer.version:
        names.append("version")
    if not names and old.data != new.data:
        return f"the data set {new.data.name}"
    label = f"{new.optimizer.label} ({new.optimizer.name})"
    if names == ["code"]:
        codes = [identity.get("code") for identity in (before, after)]
        then, now = (code if isinstance(code, Mapping) else {} for code in codes)
        edited = [name for name in {**then, **now} if then.get(name) != now.get(name)]
        return f"the code of the optimizer {label}: {', '.join(edited)}"
    return f"the optimizer {label}: {', '.join(names) or 'its grid, or facts of the data'}"
