"""``velodrome run``: trains the tasks of a suite with its optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from velodrome.commands._parsing import names, numbers, run_command
from velodrome.commands._tables import console, count, print_table

if TYPE_CHECKING:
    from suites.suite import Suite

EXAMPLES = (
    "velodrome run demo --out runs/demo",
    "velodrome run tasks.json --out runs/mine --optimizers velo,adam --steps 200 --seeds 3",
    "velodrome run demo --out runs/few --learning-rates 1e-4,1e-3,1e-2 --baseline-multiple 10",
    "velodrome run demo --out runs/demo --dry-run   # what would be trained",
)


def command(arguments: Sequence[str]) -> int:
    """Parses the arguments and runs the command."""
    return run_command(run, arguments, name="run", examples=EXAMPLES)


def run(
    suite: Positional[Annotated[str, arg(metavar="SUITE_OR_JSON")]],
    /,
    *,
    out: Annotated[Path, arg(metavar="DIR")],
    optimizers: Annotated[str | None, arg(metavar="A,B")] = None,
    seeds: Annotated[int | None, arg(metavar="K")] = None,
    steps: Annotated[int | None, arg(metavar="N")] = None,
    learning_rates: Annotated[str | None, arg(metavar="A,B")] = None,
    baseline_multiple: Annotated[int | None, arg(metavar="M")] = None,
    workers: int = 1,
    dry_run: bool = False,
) -> int:
    """Train the tasks of a suite with its optimizers, and store the curves.

    Can be interrupted at any time: the same command goes on where it stopped, and the curves are
    those of an undisturbed run. A store holds one suite under one protocol.

    Args:
      suite: The name of a suite, a JSON file of a suite or of tasks, or path/to/file.py:object.
      out: The store: a directory, new or from an earlier call.
      optimizers: Names with commas between. Default: the suite's.
      seeds: Repetitions. Default: the suite's.
      steps: Updates that each optimizer makes. Default: the suite's.
      learning_rates: The sweep of every optimizer that has a learning rate, with commas between.
        Default: its published one.
      baseline_multiple: The baseline makes M times as many updates. Default: the suite's.
      workers: Processes that train; 1 trains in this one.
      dry_run: Only say what would be trained.
    """
    from suites.suite import load_suite

    chosen = load_suite(suite).override(
        optimizers=names(optimizers),
        seeds=seeds,
        steps=steps,
        learning_rates=numbers(learning_rates, "--learning-rates"),
        baseline_multiple=baseline_multiple,
    )
    if dry_run:
        return _describe(chosen, out)
    from suites.run import run as run_suite

    run_suite(chosen, out, workers=workers)
    return 0


def _describe(suite: Suite, out: Path) -> int:
    """Prints what would be trained, cell by cell, and what of it the store has already."""
    import jax

    from suites.plan import make_plan, shards_of

    plan = make_plan(suite, backend=jax.default_backend())
    done = _finished(out)
    rows, lanes_in_all, flops_in_all = [], 0, 0
    for cell in plan["cells"]:
        shards = shards_of(plan, cell["id"])
        lanes = sum(len(shard["lanes"]) for shard in shards)
        flops = lanes * cell["horizon"] * cell["cost"]["flops"]
        finished = sum(shard["id"] in done for shard in shards)
        rows.append(
            (
                cell["task"]["label"],
                cell["optimizer"]["label"],
                f"{cell['horizon']:,}",
                lanes,
                shards[0]["mode"] if shards else "",
                f"{finished} of {len(shards)}",
                count(flops),
            )
        )
        lanes_in_all += lanes
        flops_in_all += flops
    print_table(
        ("task", "optimizer", "#updates", "#runs", "batching", "#shards done", "#FLOPs"), rows
    )
    console().print(
        f"{len(plan['cells'])} cells, {lanes_in_all} runs, {count(flops_in_all)}FLOPs. "
        "Nothing was trained.",
        markup=False,
    )
    return 0


def _finished(out: Path) -> set[str]:
    """Returns the ids of the shards that a store holds; none if there is no store yet."""
    from results.store import Store

    if not (out / "manifest.json").is_file():
        return set()
    return set(Store.open(out).shards())
