"""``velodrome run``: train the tasks of a suite with its optimizers."""

from __future__ import annotations

import itertools
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

import velodrome
from velodrome.commands._parsing import Gain, grids, names, numbers, option, run_command
from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.text import plural

EXAMPLES = (
    "velodrome run demo --out runs/demo",
    "velodrome run tasks.json --out runs/mine --optimizers velo,adam --steps 200 --seeds 3",
    "velodrome run demo --out runs/few --learning-rates 1e-4,1e-3,1e-2 --baseline-multiple 10",
    "velodrome run demo --out runs/w --optimizers adam,adamw --grid adamw.weight_decay=0,0.1",
    "velodrome run demo --out runs/demo --dry-run   # what would be trained",
    "velodrome run velodrome-83 --out runs/83 --dry-run --device v100",
    "velodrome run stress-parameters/decoder-551m --out runs/large --devices 8",
    "velodrome run demo --out runs/demo --engine slurm --workers 64 --time 2:00:00",
    "velodrome run velodrome-83 --out runs/try --data stand-in --steps 20   # generated data",
    "velodrome run mlcommons-6 --out runs/6 --precision bfloat16 --grad-accumulation 8 --dry-run",
)


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
    return run_command(run, arguments, name="run", examples=EXAMPLES)


def run(
    suite: Positional[Annotated[str, arg(metavar="SUITE_OR_JSON")]],
    /,
    *,
    out: Annotated[Path, arg(metavar="DIR")],
    optimizers: Annotated[str | None, option("A,B")] = None,
    seeds: Annotated[int | None, option("K")] = None,
    steps: Annotated[int | None, option("N")] = None,
    learning_rates: Annotated[str | None, option("A,B")] = None,
    grid: Annotated[tuple[tuple[str, ...], ...], UseAppendAction, option("NAME.KEY=A,B")] = (),
    refine: Annotated[Gain | None, option("[GAIN]")] = None,
    baseline_multiple: Annotated[int | None, option("M")] = None,
    baseline: Annotated[str, option("{decided,racing,exhaustive}")] = "decided",
    corpus_examples: Annotated[int | None, option("K")] = None,
    data: Annotated[str | None, option("{stand-in,built-in}")] = None,
    precision: Annotated[str | None, option("{float32,bfloat16}")] = None,
    grad_accumulation: Annotated[int | None, option("K")] = None,
    workers: Annotated[int | None, option("W")] = None,
    engine: Annotated[str | None, option("{slurm,ray}")] = None,
    time: Annotated[str | None, option("T")] = None,
    partition: Annotated[str | None, option("NAME")] = None,
    gpus: Annotated[float, option("G")] = 0.0,
    address: Annotated[str | None, option("ADDRESS")] = None,
    devices: Annotated[str | None, option("N")] = None,
    sharding: Annotated[str | None, option("{full,data}")] = None,
    shard: Annotated[str | None, option("I/N")] = None,
    track: Annotated[str | None, option("A,B")] = None,
    rerun_changed: bool = False,
    dry_run: bool = False,
    device: Annotated[str | None, option("NAME")] = None,
) -> int:
    """Train the tasks of a suite with its optimizers, and store the curves.

    You can interrupt it at any time: the same command resumes it, and the curves are those of an
    undisturbed run. Ask for more in the same directory, and only what is missing is trained. The
    exit status is 1 if some runs failed or are not in the store; the others are kept. Results on
    stand-in data say so everywhere, and never mix with others.

    Args:
      suite: The name of a suite, a JSON file of a suite or of tasks, or path/to/file.py:object.
      out: The store: a directory, new or from earlier calls, also with other arguments.
      optimizers: Names with commas between. Default: the suite's.
      seeds: Repetitions. Default: the suite's.
      steps: Updates that each optimizer makes. Default: the suite's.
      learning_rates: The sweep of every optimizer that has a learning rate, with commas between.
        Default: its published one.
      grid: The values of a hyperparameter of one optimizer, with commas between, such as
        adamw.weight_decay=0,0.1; several with spaces between. Default: the suite's, then its own.
      refine: After the sweeps, try more learning rates around the best one of each on each task,
        until another round gains less than GAIN of the loss (without a value: 0.01). Default: the
        suite's; then none.
      baseline_multiple: The baseline makes M times as many updates. Default: the suite's.
      baseline: How far the baseline's sweep goes. decided: in stages, until a longer sweep would
        change no speedup; racing: only the best four rates go on after a stage (racing:3 for
        three); exhaustive: all rates to the budget.
      corpus_examples: Held-out examples on which corpus metrics, such as BLEU, are computed at each
        held-out evaluation; 0 is none. Default: the suite's.
      data: Replaces published data sets: by generated stand-ins of their shapes, or by built-in
        real data (5,000 images for mnist). Default: the data that the tasks name.
      precision: bfloat16 computes every task in mixed precision: products in bfloat16, and
        parameters, losses and statistics in float32. Default: as the tasks say. They are then
        other tasks, and their labels say so.
      grad_accumulation: Every batch goes through the network in K parts, one after the other, in
        the memory of one. Default: as the tasks say. They are then other tasks too.
      workers: Worker processes; 0 trains in this one. Default: by cores and memory.
      engine: Where the workers run: slurm starts them as tasks of a SLURM array, with `pip install
        velodrome[slurm]`; ray starts them as Ray actors, with `pip install velodrome[ray]`.
        Default: on this machine.
      time: With SLURM: how long a worker may run before it is queued again, such as 2:00:00.
        Default: an hour.
      partition: With SLURM: the partition of the workers. Default: the cluster's.
      gpus: With --engine: GPUs of each worker; with Ray, 0.25 is a part of one. Default: none.
      address: With Ray: that of the cluster, or auto for the one of this machine. Default: that of
        RAY_ADDRESS, else Ray is started here.
      devices: Train each run on N devices together, or on all: for tasks too large for one. With
        --engine, N of the GPUs of a worker. Default: each run has one device.
      sharding: What each of several devices keeps. full: a part of parameters, optimizer state and
        batch; data: all parameters and state, a part of the batch. Default: full.
      shard: Only one of N parts of the work, such as 2/8, for your own scheduler. Default: any
        number of runs, on all machines that see the store, share what is left.
      track: Who else gets the curve of each run: wandb:PROJECT, mlflow:EXPERIMENT, tensorboard:DIR,
        or path/to/file.py:object, with commas between. Default: nobody.
      rerun_changed: Run again what the store has of code, weights or data that have changed since;
        the old results stay beside the new ones. Default: such a store is refused.
      dry_run: Only say what would be trained, and about how long it would take: cells, shards,
        time, memory, disk, missing data, and how far an existing store is.
      device: With --dry-run: the device profile to predict for, such as v100, or one of `velodrome
        calibrate`. Default: this machine, roughly.
    """
    result = velodrome.run(
        suite,
        out,
        optimizers=names(optimizers),
        seeds=seeds,
        steps=steps,
        learning_rates=numbers(learning_rates, "--learning-rates"),
        grid=grids(itertools.chain(*grid), "--grid") or None,
        refine=None if refine is None else float(refine),
        baseline_multiple=baseline_multiple,
        baseline=baseline,
        corpus_examples=corpus_examples,
        data=data,
        precision=precision,
        grad_accumulation=grad_accumulation,
        workers=workers,
        engine=engine,
        time_limit=time,
        partition=partition,
        gpus=gpus,
        address=address,
        devices=devices,
        sharding=sharding,
        shard=shard,
        rerun_changed=rerun_changed,
        trackers=names(track),
        dry_run=dry_run,
        device=device,
    )
    if not result.missing:
        if not dry_run and shard is None:
            _say_verdict(result.directory, result.question or None)
        return 0
    failed = len(result.failed or ())
    if failed:
        print(
            f"velodrome: {plural(failed, 'shard')} failed; why is said above, and kept in "
            f"{result.directory / 'failures'}. Run the same command again to try "
            f"{'it' if failed == 1 else 'them'} once more.",
            file=sys.stderr,
        )
    if lost := result.missing - failed:
        print(
            f"velodrome: {plural(lost, 'shard')} cannot be read back from {result.directory}; "
            "`velodrome report` names the files and what is wrong with them.",
            file=sys.stderr,
        )
    return 1


def _say_verdict(directory: Path, question: str | None) -> None:
    """Print in three lines what was found: `velodrome report` has the rest."""
    # The run itself needs no pandas.
    from velodrome.results.report.data import collect, opened  # noqa: PLC0415
    from velodrome.results.report.verdict import verdict_lines  # noqa: PLC0415

    try:
        lines = verdict_lines(collect(opened(directory, velodrome.Selection(question))))
    except Exception as error:  # noqa: BLE001 - the run is complete, and all of it is kept
        lines = [] if isinstance(error, VelodromeError) else [f"There is no verdict: {error!r}"]
    for line in lines:
        print(line)
    if lines:
        print(f"velodrome report {shlex.quote(str(directory))}  # figures, tables, and a page")
