"""Make the store of a suite, open it to continue, or only look into it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from velodrome.foundation.errors import StoreError
from velodrome.foundation.text import plural
from velodrome.optimizers.registry import optimizers
from velodrome.results.store.identity import measurement
from velodrome.results.store.json_files import Json
from velodrome.results.store.plan import Plan, PlannedCell
from velodrome.results.store.provenance import KEY
from velodrome.results.store.question import all_of, key_of, path_of
from velodrome.results.store.question import read as read_question
from velodrome.results.store.records import (
    CostRecord,
    Device,
    Manifest,
    ProtocolRecord,
    SuiteRecord,
    TrainedOptimizer,
)
from velodrome.results.store.store import Store
from velodrome.suites.planning.plan import LoadedSuite, missing_data
from velodrome.suites.planning.shards import Targets, with_shards
from velodrome.suites.training.environment import command_line, device_description, versions


def open_store(
    loaded: LoadedSuite,
    out: Path,
    plan: Plan,
    *,
    rerun_changed: bool = False,
    baseline_mode: str = "exhaustive",
    targets: Mapping[str, Targets] | None = None,
) -> tuple[Store, list[str]]:
    """Ask the question of a suite: of a new store, or of one that may have some of its runs.

    No other process may plan in the directory meanwhile.

    Args:
      plan: The suite's plan for an empty store.
      baseline_mode: How far the baseline's runs go; it is part of the question.
      targets: How far each run is to go for now; see `extend`. Default: to the cell's horizon.

    Returns:
      The store, and what a user should know about it.

    Raises:
      StoreError: It has results of code, weights or data that have changed since, and
        ``rerun_changed`` is not set; or it was written by an older velodrome.
      VelodromeError: It cannot be written.
    """
    manifest, notes = _manifest(loaded, plan, baseline_mode), []
    if Store.exists(out):
        Store.check_current(out)
        if changed := _changed(loaded, out, plan):
            if not rerun_changed:
                _refuse_changed(Store.open(out), changed)
            why = ", ".join(dict.fromkeys(_difference(*pair) for pair in changed))
            notes.append(f"{plural(len(changed), 'cell')} planned again: {why}.")
        plan = difference(loaded, out, plan, manifest, targets)
    elif targets is not None:
        protocol = loaded.suite.protocol
        plan = with_shards(plan, loaded.optimizers, protocol, targets=targets)
    store = Store.create(out, manifest=manifest, plan=plan, suite=loaded.suite.to_json())
    return store, notes


def look_into_store(
    loaded: LoadedSuite,
    out: Path,
    plan: Plan,
    *,
    baseline_mode: str = "exhaustive",
    targets: Mapping[str, Targets] | None = None,
) -> Store:
    """Open an existing store for reading only, as if it were asked the question of a suite.

    The arguments are those of `open_store`.

    Raises:
      StoreError: A run would refuse the store.
    """
    Store.check_current(out)
    store = Store.open(out, read_only=True)
    if not missing_data(plan):  # cells of missing data have other ids
        _refuse_changed(store, _changed(loaded, out, plan))
    manifest = _manifest(loaded, plan, baseline_mode)
    return store.asked(manifest, difference(loaded, out, plan, manifest, targets))


def extended(
    store: Store, loaded: LoadedSuite, plan: Plan, targets: Mapping[str, Targets] | None
) -> Plan:
    """Return a plan whose runs go on, some perhaps further than others; nothing is written.

    Where runs are there in part, and their end is kept, they continue.

    Args:
      targets: By cell, how far each run (`Lane.run`) is to go, in updates. Runs that are left out
        are not asked for any more; what is there of them stays. None: all go to their horizon.
    """
    return with_shards(
        plan,
        loaded.optimizers,
        loaded.suite.protocol,
        there=store.shards(),
        has_state=lambda shard: store.state_path(shard).exists(),
        targets=targets,
    )


def difference(
    loaded: LoadedSuite,
    out: Path,
    plan: Plan,
    manifest: Manifest,
    targets: Mapping[str, Targets] | None = None,
) -> Plan:
    """Return the plan with the shards of a store that answer it, and new ones for what is missing.

    A question that was asked before keeps its batching.
    """
    store = Store.open(out)
    known = path_of(out, key_of(manifest, plan))
    if known is not None:
        before = read_question(known).plan
        # The names as asked for now: files may be given from another directory.
        cells = tuple(
            dataclasses.replace(cell, batching=then.batching)
            for cell, then in zip(plan.cells, before.cells, strict=True)
        )
        plan = dataclasses.replace(plan, rule=before.rule, cells=cells)
    return extended(store, loaded, plan, targets)


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


def _manifest(loaded: LoadedSuite, plan: Plan, baseline_mode: str = "exhaustive") -> Manifest:
    suite = loaded.suite
    return {
        "baseline_mode": baseline_mode,
        "suite": {"name": suite.name, "hash": suite.hash},
        "protocol": cast(ProtocolRecord, suite.protocol.to_json()),
        "protocol_hash": suite.protocol.hash,
        "data": "+".join(sorted({cell.data.provenance for cell in plan.cells})),
        "command": command_line(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "device": cast(Device, device_description()),
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


def _changed(loaded: LoadedSuite, out: Path, plan: Plan) -> list[tuple[PlannedCell, PlannedCell]]:
    """Return cells that earlier questions had too, with other numbers; each with its new plan."""
    new = {_asked(cell, loaded.suite.to_json()): cell for cell in plan.cells}
    measured = measurement(loaded.suite.protocol.to_json())
    found: list[tuple[PlannedCell, PlannedCell]] = []
    for question in all_of(out):
        if measurement(question.manifest.get("protocol", {})) != measured:
            continue
        for old in question.plan.cells:
            # Of several questions, the last one asked counts.
            cell = new.pop(_asked(old, question.suite), None)
            if cell is not None and cell.id != old.id:
                found.append((old, cell))
    return found


def _asked(cell: PlannedCell, suite: SuiteRecord | Json) -> tuple[object, ...]:
    """Return what a cell is of, as it was asked for, whatever code and data it has."""
    task = suite.get("tasks", ())[cell.task.index].get("hash")
    name = optimizers.portable(cell.optimizer.name)
    return task, name, None if cell.extendable else cell.horizon


def _refuse_changed(store: Store, changed: Sequence[tuple[PlannedCell, PlannedCell]]) -> None:
    """Refuse a store with results that would be other ones now."""
    there = Counter(shard.cell for shard in store.shards())
    shards: Counter[str] = Counter()
    for old, new in changed:
        shards[_difference(old, new)] += there[old.id]
    found = [f"{what} ({plural(count, 'shard')})" for what, count in shards.items() if count]
    if found:
        raise StoreError(
            f"{store.directory} has results of what has changed since: {'; '.join(found)}. Old "
            "and new results never mix. To run these again, give the same command with "
            "--rerun-changed (in Python, rerun_changed=True): the old results stay in the store, "
            "as the answer to the question that was asked then. Or choose another directory."
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
