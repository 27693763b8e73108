"""`run`: a suite into a store, resumable."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foundation.canonical import content_hash
from foundation.errors import PlanError, StoreError
from results.store import Store
from suites.datachoice import with_data
from suites.dataneeds import data_bytes
from suites.engines.base import CHECKPOINT_SECONDS, SHARD, TIMING, Engine, Job
from suites.engines.inline import InlineEngine
from suites.engines.processes import ProcessEngine
from suites.environment import device_description, usable_cores, versions
from suites.overview import PROCESS_BYTES, CellOverview, overview, shard_seconds
from suites.plan import Plan, make_plan, missing_data
from suites.progress import Progress, choose_progress, duration
from suites.suite import Suite, as_suite
from taskgen.budget import DeviceProfile, load_profile
from taskgen.data.published.recipes import how_to_get

#: Runs that are predicted to be shorter, in seconds, do not pay for the start of workers.
INLINE_SECONDS = 5.0

#: What timing a task takes, about.
TIMING_SECONDS = 0.5

#: Temporary files of this age are nobody's.
STALE_SECONDS = 3600.0

#: The part of the free memory that workers may be predicted to take.
MEMORY_SHARE = 0.8


@dataclass(frozen=True)
class RunResult:
    """What a run did.

    Attributes:
      directory: The store.
      cells: What there was to do, cell by cell.
      done: Shards trained by this call.
      already: Shards that were in the store before.
      failed: Failure records by shard id, of those that are not in the store.
      seconds: Wall time of this call.
      dry_run: Whether nothing was meant to be done.
    """

    directory: Path
    cells: tuple[CellOverview, ...]
    done: int = 0
    already: int = 0
    failed: Mapping[str, Mapping[str, Any]] | None = None
    seconds: float = 0.0
    dry_run: bool = False


def run(
    suite: Suite | str,
    out: str | os.PathLike[str],
    *,
    optimizers: Sequence[str] | None = None,
    seeds: int | None = None,
    steps: int | None = None,
    learning_rates: Sequence[float] | None = None,
    baseline_multiple: int | None = None,
    data: str | None = None,
    workers: int | None = None,
    timing: bool = True,
    dry_run: bool = False,
    device: str | None = None,
    progress: str | Progress = "auto",
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> RunResult:
    """Trains the tasks of a suite with its optimizers, and stores the curves.

    Call it again with the same arguments after an interruption of any kind, and it goes on where
    it stopped; the curves are bit for bit those of an undisturbed run. Curves do not depend on
    ``workers``.

    Args:
      suite: A suite, or the name of one: registered, a JSON file of a suite or of tasks, or
        ``path/to/file.py:object``.
      out: The store: a directory, new or of an earlier call. It holds one suite under one
        protocol; the arguments below change them.
      optimizers: Names; default: the suite's.
      seeds: Repetitions; default: the suite's.
      steps: Updates that each candidate makes; default: the suite's.
      learning_rates: Sweep of every optimizer that has a learning rate; default: its own.
      baseline_multiple: The baseline makes so many times more updates; default: the suite's.
      data: ``"stand-in"`` puts generated data in the place of published data sets, ``"built-in"``
        the built-in real data; see :func:`suites.datachoice.with_data`. Default: the data that
        the tasks name.
      workers: Worker processes, each computing with one thread on the CPU. 0: in this process.
        Default: one for each core that memory allows; in this process for accelerators and for
        runs of a few seconds.
      timing: Whether to measure the seconds of a step too, after the training.
      dry_run: Only say what would be done; nothing is written.
      device: With ``dry_run``: name of the device profile that time is predicted for, such as
        ``"v100"``; lanes are then grouped as on a GPU. Default: this machine, roughly.
      progress: ``"auto"``, ``"live"``, ``"plain"``, ``"silent"``, or a
        :class:`suites.progress.Progress`.
      checkpoint_seconds: Seconds between checkpoints of a running shard: what a killed run may
        lose.

    Returns:
      What was done. Shards that failed are in it and in the store, and the others went on.

    Raises:
      KeyboardInterrupt: After Ctrl-C, once what was running is saved.
      StoreError: ``out`` holds another suite or protocol, or optimizers, data or weights that
        have changed since.
      PlanError: Nothing can be run as asked.
      SpecError: An argument is not allowed.
      UnknownNameError: A suite, optimizer, family or data set is not known.
      VelodromeError: Nothing can be written to ``out``.
    """
    began = time.monotonic()
    chosen = with_data(as_suite(suite), data).override(
        optimizers=optimizers,
        seeds=seeds,
        steps=steps,
        learning_rates=learning_rates,
        baseline_multiple=baseline_multiple,
    )
    if workers is not None and workers < 0:
        raise PlanError(f"workers is {workers}; give 0 (this process) or more.")
    if device is not None and not dry_run:
        raise PlanError(
            f"device {device!r} is what a dry run predicts time for; training uses the device that "
            "is here. Leave it out, or add dry_run (--dry-run)."
        )
    profile = None if device is None else load_profile(device)
    # Measured profiles are of this machine; the others, of data sheets, are of GPUs.
    backend = _backend() if profile is None or profile.measured else "gpu"
    plan = make_plan(chosen, backend=backend, without_data=dry_run)
    display = choose_progress(progress)
    cells = tuple(overview(plan, chosen.protocol, data_bytes(chosen), profile))
    if dry_run:
        for line in describe(plan, cells, profile):
            display.say(line)
        return RunResult(Path(out), cells, dry_run=True)
    store = open_store(chosen, out, plan)
    _tidy(store)
    jobs, already = _jobs(store, chosen, timing=timing)
    _announce(store, backend, display)
    display.begin(store.plan, jobs)
    try:
        if jobs:
            engine = _engine(jobs, cells, workers, backend, checkpoint_seconds)
            _run(engine, store, jobs, display, chosen_by_user=workers is not None)
    except KeyboardInterrupt:
        display.end()
        display.say(
            f"Stopped. What was finished is kept in {store.directory}; the same command goes on."
        )
        raise
    finally:
        display.end()
    done = sum(job.kind == SHARD and store.has_shard(job.id) for job in jobs)
    failed = {name: record for name, record in store.failures.items() if not store.has_shard(name)}
    seconds = time.monotonic() - began
    shards = len(store.plan["shards"])
    display.say(
        f"{already + done} of {shards} shards are in {store.directory}"
        + (f", {len(failed)} failed" if failed else "")
        + f" ({already} were there before; {duration(seconds)})."
    )
    return RunResult(store.directory, cells, done, already, failed, seconds)


def open_store(suite: Suite, out: str | os.PathLike[str], plan: Plan) -> Store:
    """Makes the store of a suite, or opens the one that is there; that one keeps its own plan.

    Args:
      suite: The suite.
      out: The directory.
      plan: The plan of the suite as it would be made now.

    Raises:
      StoreError: It holds another suite or protocol, or cells that would have other numbers now.
      VelodromeError: It cannot be written.
    """
    store = Store.create(out, manifest=_manifest(suite, plan), plan=plan, suite=suite.to_json())
    _check_same(store, plan)
    return store


def describe(
    plan: Plan, cells: Sequence[CellOverview], profile: DeviceProfile | None = None
) -> list[str]:
    """Returns lines that say what running a plan would take, on the device of ``profile``."""
    where = "one core or device" if profile is None else profile.label
    width = max(len(f"{cell.task} / {cell.optimizer}") for cell in cells)
    lines = []
    for cell in cells:
        name = f"{cell.task} / {cell.optimizer}"
        lines.append(
            f"{name:{width}}  {cell.lanes:5} runs x {cell.horizon:,} steps in {cell.shards} "
            f"shards ({cell.mode}), about {duration(cell.seconds)} on {where}, "
            f"{cell.memory_bytes / 2**20:,.0f} MiB of memory, "
            f"{cell.disk_bytes / 2**20:.1f} MiB on disk"
        )
    for name, tasks in missing_data(plan).items():
        lines.append(f"Missing data: {name}, for {tasks} tasks. To get it: {how_to_get(name)}")
    if profile is not None:
        large = [cell for cell in cells if cell.memory_bytes > profile.memory_bytes]
        if large:
            lines.append(
                f"{len(large)} cells are predicted to need more than the "
                f"{profile.memory_bytes / 2**30:.3g} GiB of {where}."
            )
    total = sum(cell.seconds for cell in cells)
    disk = sum(cell.disk_bytes for cell in cells) / 2**20
    lines.append(
        f"{len(cells)} cells, {len(plan['shards'])} shards, "
        f"{sum(cell.lanes for cell in cells)} runs: about {duration(total)} of {where} without "
        f"compiling and the optimizers' own work, {disk:.1f} MiB on disk. The seconds are "
        "predicted from FLOPs and bytes, and rough. Nothing was done."
    )
    return lines


def _run(
    engine: Engine, store: Store, jobs: Sequence[Job], display: Progress, *, chosen_by_user: bool
) -> None:
    try:
        engine.run(store, jobs, display)
    except PlanError as error:
        if chosen_by_user or not isinstance(engine, ProcessEngine):
            raise
        display.say(f"Running in this process instead: {error}")
        left = [job for job in jobs if not _is_done(store, job)]
        InlineEngine(checkpoint_seconds=engine.checkpoint_seconds).run(store, left, display)


def _engine(
    jobs: Sequence[Job],
    cells: Sequence[CellOverview],
    workers: int | None,
    backend: str,
    checkpoint_seconds: float,
) -> Engine:
    if workers is None:
        workers = 0
        if backend == "cpu" and sum(job.weight for job in jobs) > INLINE_SECONDS:
            workers = _fitting_workers(max(cell.memory_bytes for cell in cells))
    if workers == 0:
        return InlineEngine(checkpoint_seconds=checkpoint_seconds)
    if backend != "cpu":
        raise PlanError(
            f"worker processes share the CPU's cores, but this run computes on {backend!r}: pass "
            "workers=0 (--workers 0), or set JAX_PLATFORMS=cpu."
        )
    return ProcessEngine(workers, checkpoint_seconds=checkpoint_seconds)


def _fitting_workers(bytes_each: int) -> int:
    """One worker for each core, but no more than fit in the free memory."""
    import psutil

    free = psutil.virtual_memory().available * MEMORY_SHARE
    return max(1, min(usable_cores(), int(free // max(bytes_each, PROCESS_BYTES))))


def _backend() -> str:
    import jax

    return jax.default_backend()


def _manifest(suite: Suite, plan: Plan) -> dict[str, Any]:
    provenances = sorted({cell["data"]["provenance"] for cell in plan["cells"]})
    return {
        "suite": {"name": suite.name, "hash": suite.hash},
        "protocol": suite.protocol.to_json(),
        "protocol_hash": suite.protocol.hash,
        "plan_hash": content_hash(plan),
        "data": "+".join(provenances),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "device": device_description(),
    }


def _check_same(store: Store, plan: Plan) -> None:
    """Refuses a store whose cells would have other numbers now, such as with changed weights."""
    stored = {cell["id"] for cell in store.plan["cells"]}
    changed = [cell for cell in plan["cells"] if cell["id"] not in stored]
    if changed:
        cell = changed[0]
        raise StoreError(
            f"{store.directory} was made with another {cell['optimizer']['label']} or other data "
            f"of {cell['task']['label']} (weights, version or contents have changed since). They "
            "never mix: choose another directory."
        )


def _jobs(store: Store, suite: Suite, *, timing: bool) -> tuple[list[Job], int]:
    """What is left to do of the store's own plan, and how many shards are there already."""
    task_of = {cell["id"]: cell["task"]["index"] for cell in store.plan["cells"]}
    jobs, already = [], 0
    for shard in store.plan["shards"]:
        if store.has_shard(shard["id"]):
            already += 1
            continue
        weight = shard_seconds(store.plan, shard, suite.protocol)
        jobs.append(Job(SHARD, shard["id"], shard["cell"], task_of[shard["cell"]], weight))
    timed = store.timings
    untimed: dict[int, str] = {}
    for cell in store.plan["cells"]:
        if timing and cell["id"] not in timed:
            untimed.setdefault(cell["task"]["index"], cell["id"])
    jobs.extend(Job(TIMING, cell, cell, task, TIMING_SECONDS) for task, cell in untimed.items())
    return jobs, already


def _tidy(store: Store) -> None:
    """Removes what killed processes left: half-written files, checkpoints of finished shards."""
    checkpoints = store.directory / "checkpoints"
    for path in checkpoints.glob("[!.]*.npz"):
        if store.has_shard(path.stem):
            path.unlink(missing_ok=True)
    for folder in (checkpoints, store.directory / "shards"):
        for path in folder.glob(".*.tmp*"):
            # Another run may be writing a younger one.
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                path.unlink(missing_ok=True)


def _is_done(store: Store, job: Job) -> bool:
    return store.has_shard(job.id) if job.kind == SHARD else job.id in store.timings


def _announce(store: Store, backend: str, display: Progress) -> None:
    for problem in store.problems:
        display.say(f"Skipped {problem.path}: {problem.reason}")
    planned = store.plan["rule"]["backend"]
    if planned != backend:
        display.say(
            f"The plan of {store.directory} was made for {planned!r}; it goes on unchanged on "
            f"{backend!r}, where its numbers agree only until chaos sets in."
        )
    then, now = store.manifest.get("versions", {}), versions()
    changed = [name for name, version in now.items() if then.get(name) != version]
    if changed:
        display.say(
            f"{store.directory} was begun with other versions of {', '.join(changed)}; each shard "
            "records its own."
        )
