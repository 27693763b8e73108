"""Run a suite into a store; an interrupted run continues."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import jax

from velodrome.foundation.errors import PlanError
from velodrome.foundation.files import exclusive_directory, resolved
from velodrome.foundation.text import duration, plural
from velodrome.results.store.baseline_mode import BaselineMode
from velodrome.results.store.records import Failure
from velodrome.results.store.store import Store
from velodrome.suites.catalog import as_suite
from velodrome.suites.planning.computation import computed_as
from velodrome.suites.planning.corpus_check import check_corpus_metrics
from velodrome.suites.planning.estimates import (
    CellOverview,
    count_programs,
    overview,
    too_large,
)
from velodrome.suites.planning.plan import LoadedSuite, make_plan
from velodrome.suites.planning.preflight import check_data, check_suite, data_bytes, with_data
from velodrome.suites.protocol import Grids
from velodrome.suites.running.displays import choose_progress
from velodrome.suites.running.dryrun import (
    describe,
    describe_compiling,
    describe_modes,
    describe_refining,
    describe_store,
)
from velodrome.suites.running.engines.base import CHECKPOINT_SECONDS, SHARD, Job
from velodrome.suites.running.engines.choice import EngineChoice, RunEngines
from velodrome.suites.running.jobs import jobs_left, part_of, tidy
from velodrome.suites.running.progress import Progress
from velodrome.suites.running.refining import describe_searches, most_added
from velodrome.suites.running.staging import first_targets, next_plan
from velodrome.suites.running.store_setup import (
    announcements,
    look_into_store,
    open_store,
)
from velodrome.suites.running.trackers.base import ExperimentTracker, make_trackers
from velodrome.suites.running.trackers.following import followed
from velodrome.suites.suite import Suite
from velodrome.suites.training.environment import free_memory
from velodrome.taskgen.budget import load_profile

#: Seconds to wait for another run that is planning in the same store.
_PATIENCE = 300.0


@dataclass(frozen=True)
class RunResult:
    """What a run did.

    Attributes:
      directory: The store.
      done: Shards trained by this call, or meanwhile by others in the same store.
      already: Shards of the first plan that were in the store before.
      failed: Failure records by shard id, of those that are not in the store.
      missing: Shards that this call was to train and that are not in the store, failed or not.
      seconds: Wall time of this call.
      question: Key of what was asked, by which `Store.open` and `Selection` find it.
    """

    directory: Path
    cells: tuple[CellOverview, ...]
    done: int = 0
    already: int = 0
    failed: Mapping[str, Failure] | None = None
    missing: int = 0
    seconds: float = 0.0
    dry_run: bool = False
    question: str = ""


def run(
    suite: Suite | str,
    out: str | os.PathLike[str],
    *,
    optimizers: Sequence[str] | None = None,
    seeds: int | None = None,
    steps: int | None = None,
    learning_rates: Sequence[float] | None = None,
    grid: Grids | None = None,
    refine: float | None = None,
    baseline_multiple: int | None = None,
    baseline: str = "decided",
    corpus_examples: int | None = None,
    data: str | None = None,
    precision: str | None = None,
    grad_accumulation: int | None = None,
    workers: int | None = None,
    engine: str | None = None,
    time_limit: str | None = None,
    partition: str | None = None,
    gpus: float = 0.0,
    address: str | None = None,
    devices: int | str | None = None,
    sharding: str | None = None,
    shard: str | None = None,
    timing: bool = True,
    rerun_changed: bool = False,
    dry_run: bool = False,
    device: str | None = None,
    progress: str | Progress = "auto",
    trackers: Sequence[str | ExperimentTracker] | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> RunResult:
    """Train the tasks of a suite with its optimizers, and store the curves.

    After an interruption of any kind, call it again with the same arguments: it continues where
    it stopped, and the curves are bit for bit those of an undisturbed run. Curves do not depend
    on ``workers``.

    Args:
      suite: A suite, or the name of one: registered, a JSON file of a suite or of tasks, or
        ``path/to/file.py:object``.
      out: The store: a directory, new or of earlier calls. Runs that it has are not trained
        again, whatever they were asked for with; runs that stopped earlier go on.
      optimizers: Names; default: the suite's.
      seeds: Repetitions; default: the suite's.
      steps: Updates that each candidate makes; default: the suite's.
      learning_rates: Sweep of every optimizer that has a learning rate; default: its own.
      grid: By the name of an optimizer, values of some of its hyperparameters, such as
        ``{"adamw": {"weight_decay": [0, 0.1]}}``. Default: the suite's; then those of its own grid.
      refine: After the sweeps, try more learning rates around the best one of each on each task,
        until another round gains less than this share of the loss, such as 0.01. Default: the
        suite's; then none.
      baseline_multiple: How many times as many updates the baseline makes; default: the suite's.
      baseline: How far the baseline's sweep goes: ``"decided"`` (in stages, until a longer sweep
        would change no speedup), ``"racing"`` (only the best four rates go on after a stage;
        ``"racing:3"`` for three) or ``"exhaustive"`` (all rates to the budget, as published).
        Without a candidate nothing decides, and it goes to the budget.
      corpus_examples: Held-out examples on which each held-out evaluation computes corpus metrics,
        such as BLEU; 0 is none. Default: the suite's.
      data: ``"stand-in"`` puts generated data in the place of published data sets, ``"built-in"``
        real data inside installed packages. Default: the data that the tasks name.
      precision: ``"bfloat16"`` computes every task in mixed precision, ``"float32"`` in float32.
        Default: as the tasks say. The tasks are then others: their labels say so.
      grad_accumulation: Every batch goes through the network in that many parts, whose gradients
        are added up: less memory. Default: as the tasks say; mostly 1. The tasks are then others.
      workers: Worker processes, each computing with one thread on the CPU, or all sharing the
        accelerator. 0: in this process. Default: one for each core; in this process for
        accelerators and for runs of a few seconds. On the CPU, jobs that would not fit in memory
        together do not run at the same time.
      engine: ``"slurm"`` starts ``workers`` tasks of a SLURM array, which take jobs from the store
        (with ``velodrome[slurm]``); ``"ray"`` starts Ray actors, here or in a cluster (with
        ``velodrome[ray]``). Default: this machine.
      time_limit: With SLURM: how long a worker may run before it is queued again, as SLURM
        writes it (``"2:00:00"``, or minutes).
      partition: With SLURM: the partition of its workers.
      gpus: With an engine: GPUs of each worker (with Ray, perhaps a part of one); 0 trains on CPUs.
      address: With Ray: that of the cluster; ``"auto"`` finds the one of this machine. Default:
        that of RAY_ADDRESS, else Ray is started here.
      devices: How many devices train each run together, or ``"all"``: those of this process, or
        the GPUs of each worker of an engine. Runs then go one after another. The losses are those
        of one device to rounding, and a store may be continued with another number. Default: each
        run has one device.
      sharding: What each of ``devices`` keeps: ``"full"``, a part of parameters, optimizer state
        and batch (the default), or ``"data"``, all parameters and state, and a part of the batch.
      shard: ``"2/8"``: only the second of eight parts of the work, for schedulers that start the
        parts themselves. Without it any number of calls, on any machines that see ``out``, share
        the work: each takes what is left and what no other is working on.
      timing: Whether to measure the seconds of a step too, after the training.
      rerun_changed: Whether to run again what the store has of code, weights or data that have
        changed since; the old results stay beside the new ones. Otherwise such a store is refused.
      dry_run: Only say what would be done, and how far ``out`` is if it exists; nothing is
        written.
      device: With ``dry_run``: name of the device profile that time is predicted for, such as
        ``"v100"``; lanes are then grouped as on a GPU. Default: this machine, roughly.
      progress: ``"auto"``, ``"live"``, ``"plain"``, ``"silent"``, or a `Progress`.
      trackers: Who else gets the curve of each run that is trained meanwhile, by this call or by
        others in ``out``: ``"wandb:PROJECT"``, ``"mlflow:EXPERIMENT"``, ``"tensorboard:DIR"``,
        ``path/to/file.py:object``, or an `ExperimentTracker`. One that fails is left out; the
        store has everything.
      checkpoint_seconds: Seconds between checkpoints of a running shard: as much as a killed run
        may lose.

    Returns:
      What was done. A shard that fails is recorded here and in the store; the others go on.

    Raises:
      KeyboardInterrupt: After Ctrl-C, once the running shards are saved.
      StoreError: ``out`` has results of optimizers, data or weights that have changed since.
      PlanError: Nothing can be run as asked.
      DataError: Data are missing, have no hash, or are not what their data set declares.
      SpecError: An argument is not allowed.
      UnknownNameError: A suite, optimizer, family or data set is not known.
      VelodromeError: Nothing can be written to ``out``.

    Examples:
      >>> found = velodrome.run("demo", "runs/demo", seeds=5)  # doctest: +SKIP
    """
    began, out, mode = time.monotonic(), resolved(out), BaselineMode.parse(baseline)
    served = with_data(as_suite(suite), data)
    chosen = computed_as(served, precision=precision, grad_accumulation=grad_accumulation).override(
        optimizers=optimizers,
        seeds=seeds,
        steps=steps,
        learning_rates=learning_rates,
        grids=grid,
        refine=refine,
        baseline_multiple=baseline_multiple,
        corpus_examples=corpus_examples,
    )
    in_rounds = mode.staged or chosen.protocol.refine is not None
    if device is not None and not dry_run:
        raise PlanError(
            f"device {device!r} is what a dry run predicts time for; training uses the device that "
            "is here. Leave it out, or add dry_run (--dry-run)."
        )
    choice = EngineChoice(
        engine, workers, time_limit, partition, gpus, address, checkpoint_seconds, devices, sharding
    )
    spread = choice.spread
    if spread is not None:
        if engine is None and not dry_run:
            spread.check_devices(jax.local_device_count())
        spread.check(chosen)
    profile = None if device is None else load_profile(device)
    if workers and engine is None:
        # Before jax takes three quarters of an accelerator's memory for this process.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    # Measured profiles are of this machine; the others, of data sheets, are of GPUs.
    here = choice.backend
    backend = here if profile is None or profile.measured else "gpu"
    loaded = LoadedSuite.of(chosen)  # once: a file that changes while it runs changes nothing
    remote = choice.remote(loaded)
    alone = spread is not None
    plan = make_plan(loaded, backend=backend, without_data=dry_run, alone=alone)
    notes = check_suite(chosen)
    notes += check_corpus_metrics(chosen, asked=bool(corpus_examples), dry_run=dry_run)
    display = choose_progress(progress)
    followers = make_trackers(trackers or ())
    cells = tuple(overview(plan, chosen.protocol, data_bytes(chosen), profile, spread))
    if remote is None and here == backend == "cpu" and (note := too_large(cells, free_memory())):
        notes.append(note)
    if dry_run:
        lines = list(describe(plan, cells, profile=profile, backend=here, spread=spread))
        programs = count_programs(plan, loaded.optimizers)
        lines.insert(-1, describe_compiling(programs, plan.backend))
        if chosen.protocol.baseline in chosen.optimizers:
            lines.insert(-1, describe_modes(plan, cells, chosen.protocol, mode))
        if added := most_added(plan, loaded):
            lines.insert(-1, describe_refining(added, cells))
        if Store.exists(out):
            there = look_into_store(
                loaded, out, plan, baseline_mode=str(mode),
                targets=first_targets(plan, chosen.protocol, mode),
            )  # fmt: skip
            if in_rounds:
                there = there.asked(there.manifest, next_plan(there, loaded))
            lines.insert(-1, describe_store(there, chosen.protocol))
        # What is asked for goes to the standard output; reports about work do not.
        say = print if progress == "auto" else display.say
        for line in [*lines[:-1], *notes, lines[-1]]:
            say(line)
        return RunResult(out, cells, dry_run=True)
    check_data(chosen)
    Store.exists(out)  # before anything is made, if it is a file
    with exclusive_directory(out, patience=_PATIENCE):
        store, changes = open_store(
            loaded, out, plan, rerun_changed=rerun_changed, baseline_mode=str(mode),
            targets=first_targets(plan, chosen.protocol, mode),
        )  # fmt: skip
        if in_rounds:
            store.take_plan(next_plan(store, loaded))
        tidy(store)
        before = {shard.id for shard in store.shards()}
        memory = {cell.id: cell.memory_bytes for cell in cells}
        jobs, already = jobs_left(store, chosen, memory, timing=timing)
    for note in (*notes, *changes, *announcements(store, backend)):
        display.say(note)

    def more_jobs() -> list[Job]:
        if in_rounds:
            with exclusive_directory(out, patience=_PATIENCE):
                store.take_plan(next_plan(store, loaded))
        return jobs_left(store, chosen, memory, timing=timing)[0]

    jobs = part_of(jobs, shard)
    tried = list(jobs)
    with (
        followed(display, followers, store) as display,
        closing(RunEngines(choice, loaded, remote)) as engines,
    ):
        _work(engines, jobs, store, display)
        while in_rounds and jobs:
            known = {job.name for job in tried}
            jobs = [job for job in part_of(more_jobs(), shard) if job.name not in known]
            tried += jobs
            if jobs:
                display.say(
                    f"Another round of {plural(len(jobs), 'job')}: percentages begin again."
                )
            _work(engines, jobs, store, display)
    mine = [job.id for job in tried if job.kind == SHARD]
    lost = {name for name in mine if not store.has_shard(name)}
    done, missing = len(mine) - len(lost), len(lost)
    failed = {name: record for name, record in store.failures.items() if name in lost}
    if shard is not None and (others := len(more_jobs()) - missing):
        display.say(
            f"Part {shard} is done. {plural(others, 'job')} are left to other parts, or to all "
            "parts when they are started again."
        )
    seconds = time.monotonic() - began
    for line in describe_searches(store.plan):
        display.say(line)
    display.say(_summary(store, before, failed=len(failed), seconds=seconds))
    key = store.question.partition("-")[2]
    return RunResult(store.directory, cells, done, already, failed, missing, seconds, question=key)


def _summary(store: Store, before: Set[str], *, failed: int, seconds: float) -> str:
    """Say how much of the plan is there now; ``before`` are the shards that the store had."""
    # Counted in the last plan: in stages, runs without a kept end start over, and what they had
    # before answers nothing any more.
    there = {shard.id for shard in store.plan.shards if store.has_shard(shard.id)}
    old = len(there & before)
    return (
        f"{store.directory} has {len(there):,} of {plural(len(store.plan.shards), 'shard')}"
        + (f", {failed:,} failed" if failed else "")
        + f" ({old:,} {'was' if old == 1 else 'were'} there before; {duration(seconds)})."
    )


def _work(engines: RunEngines, jobs: Sequence[Job], store: Store, display: Progress) -> None:
    """Do jobs, and show them from beginning to end, however they end."""
    display.begin(store.plan, jobs)
    try:
        if jobs:
            engines.run(store, jobs, display)
    except KeyboardInterrupt:
        display.end()
        display.say(
            f"Stopped. Finished work is kept in {store.directory}; run the same command again "
            "to continue."
        )
        raise
    finally:
        display.end()
