"""Make a store as large as a whole suite's out of formulas: nothing is trained.

    python benchmarks/synthetic_store.py runs/synthetic-83 --tasks 83

By default it holds as much as the full suite writes: 83 tasks, 15 rates of Adam x 5 seeds for
100,000 steps (10,001 evaluations), and each candidate x 5 seeds for 10,000 steps. The suite, the
optimizers and the kind of data are all called synthetic, so that nobody can take a report of it,
or one of its figures, for results. The real writer writes it.

A run at rate r decays as ``floor + (start - floor) exp(-t / tau(r))``, where tau is smallest at the
task's best rate; the largest rates diverge. A candidate decays like the best rate, faster by its
speedup on the task: from about 1/2x to beyond the ceiling.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from velodrome.foundation.canonical import content_hash
from velodrome.results.store.optimizer_ref import OptimizerRef
from velodrome.results.store.plan import (
    Batching,
    DataRef,
    Lane,
    Plan,
    PlannedCell,
    Shard,
    StepCost,
    TaskRef,
)
from velodrome.results.store.store import Store

RATES = (1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
FAMILIES = ("mlp", "cnn", "autoencoder", "resnet", "vit", "rnn", "transformer", "mlp_mixer")
BASELINE = "Synthetic Adam"
CANDIDATES = tuple(f"Synthetic optimizer {letter}" for letter in "ABCDEFGH")
_EVAL_EVERY, _HELDOUT_EVERY = 10, 50


def make(
    directory: Path,
    *,
    tasks: int = 83,
    candidates: int = 1,
    steps: int = 10_000,
    multiple: int = 10,
    seeds: int = 5,
) -> Store:
    """Write a store into a new directory.

    There are 1 to 8 candidates, without a sweep; the baseline makes ``multiple`` times their steps.
    """
    protocol = {
        "steps": steps, "seeds": seeds, "baseline": "adam", "baseline_multiple": multiple,
        "eval_every": _EVAL_EVERY, "heldout_every": _HELDOUT_EVERY, "eval_examples": 512,
        "eval_batches": "fixed", "eval_mode": "eval", "version": 1,
    }  # fmt: skip
    planned = []
    for index in range(tasks):
        family = FAMILIES[index % len(FAMILIES)]
        digest = content_hash(["synthetic", index])
        label = f"{family}-{digest[:8]}"
        planned.append(TaskRef(index, label, family, digest))
    optimizers = [OptimizerRef("adam", BASELINE)]
    for label in CANDIDATES[:candidates]:
        name = label.lower().replace(" ", "-")
        optimizers.append(OptimizerRef(name, label))
    plan = _plan(planned, optimizers, steps=steps, multiple=multiple, seeds=seeds)
    suite = {
        "name": f"synthetic-{tasks}",
        "tasks": [vars(task) for task in planned],
        "protocol": protocol,
    }
    store = Store.create(
        directory,
        manifest={
            "suite": {"name": suite["name"], "hash": content_hash(suite)},
            "protocol": protocol,
            "protocol_hash": content_hash(protocol),
            "data": "synthetic",
            "created": "2026-01-01T00:00:00+00:00",
            "versions": {"velodrome": "0"},
            "device": {"name": "none: curves made of formulas"},
        },
        plan=plan,
        suite=suite,
    )
    for shard in plan.shards:
        if not store.has_shard(shard.id):
            _write(store, plan.cell(shard.cell), shard, steps=steps)
    for cell in plan.cells:
        _time(store, cell)
    return store


def _plan(
    tasks: Sequence[TaskRef],
    optimizers: Sequence[OptimizerRef],
    *,
    steps: int,
    multiple: int,
    seeds: int,
) -> Plan:
    """One cell for each task and optimizer, one shard for each of its seeds."""
    cells, shards = [], []
    for task in tasks:
        for optimizer in optimizers:
            swept = optimizer.name == "adam"
            horizon = steps * (multiple if swept else 1)
            cell = content_hash([task.hash, vars(optimizer), horizon, seeds])[:16]
            points = [{"learning_rate": rate} for rate in RATES] if swept else [{}]
            lanes = tuple(
                Lane(seed * len(points) + at, seed, point)
                for seed in range(seeds)
                for at, point in enumerate(points)
            )
            cells.append(
                PlannedCell(
                    id=cell,
                    task=task,
                    optimizer=optimizer,
                    horizon=horizon,
                    batch_size=1,
                    data=DataRef("synthetic", "0", "synthetic"),
                    cost=StepCost(1, 1, 1, 1, 1, 1, 1),
                    batching=Batching("sequential", 1, len(points)),
                    lanes=lanes,
                )
            )
            for seed in range(seeds):
                mine = lanes[seed * len(points) : (seed + 1) * len(points)]
                shards.append(Shard(f"{cell}-{seed}", cell, "sequential", 0, 0, mine, horizon))
    return Plan("synthetic", "synthetic", {"backend": "cpu"}, tuple(cells), tuple(shards))


def _write(store: Store, cell: PlannedCell, shard: Shard, *, steps: int) -> None:
    """Write all lanes of one seed."""
    index, label = cell.task.index, cell.optimizer.label
    task = np.random.default_rng([83, index])
    start, floor = 2 + 3 * task.random(), 0.5 * task.random()
    best, tau = 10 ** task.uniform(-3.5, -1.5), steps * 10 ** task.uniform(-0.3, 0.6)
    at = CANDIDATES.index(label) if label in CANDIDATES else -1
    speedup = 2 ** np.random.default_rng([84, index, at + 1]).normal(1.8 - 0.4 * at, 1.3)
    rng = np.random.default_rng([85, index, at + 1, shard.lanes[0].seed])
    evaluated = np.arange(0, cell.horizon + 1, _EVAL_EVERY)
    is_heldout = (evaluated % _HELDOUT_EVERY == 0) | (evaluated == cell.horizon)
    values, lanes = [], []
    for lane in shard.lanes:
        found = lane.hyperparameters.get("learning_rate")
        rate = found if isinstance(found, float) else None
        slower = 10 ** abs(np.log10(rate / best)) if rate is not None else 1 / speedup
        curve = floor + (start - floor) * np.exp(-evaluated / (tau * slower))
        diverges = len(evaluated) // 100 if rate is not None and rate > 30 * best else None
        if diverges is not None:
            curve[diverges:] = np.nan
        for gap, chosen in ((0.0, slice(None)), (0.05 * start, is_heldout)):
            clean = curve[chosen] + gap
            values.append(clean * np.exp(0.02 * rng.standard_normal(len(clean))))
        stopped = None if diverges is None else int(evaluated[diverges])
        status = "ok" if stopped is None else "diverged"
        lanes.append({**vars(lane), "status": status, "diverged_at": stopped})
    once, count = int(is_heldout.sum()), len(evaluated)
    each = np.concatenate([np.full(count, "train"), np.full(once, "heldout")])
    taken = np.concatenate([evaluated, evaluated[is_heldout]])
    columns = {
        "lane": np.repeat([lane["lane"] for lane in lanes], count + once),
        "step": np.tile(taken, len(lanes)),
        "split": np.tile(each, len(lanes)),
        "metric": np.full((count + once) * len(lanes), "loss"),
        "value": np.concatenate(values),
    }
    store.write_shard(
        shard.id,
        columns,
        {"cell": cell.to_json(), "lanes": lanes, "data": vars(cell.data), "seconds": 1.0},
    )


def _time(store: Store, cell: PlannedCell) -> None:
    """Write a timing: candidates are from 1.05 to 3 times as slow as Adam."""
    index, swept = cell.task.index, cell.optimizer.name == "adam"
    ratio = 1.0 if swept else float(np.random.default_rng([86, index]).uniform(1.05, 3))
    record = {
        "seconds_per_step": {"median": 1e-3 * ratio, "spread": 1e-5, "samples": []},
        "baseline_seconds_per_step": {"median": 1e-3, "spread": 1e-5, "samples": []},
        "ratio": ratio,
        "compile_seconds": 1.0,
        "eval_seconds": 0.1,
    }
    store.write_timing(cell.id, record)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--tasks", type=int, default=83)
    parser.add_argument("--candidates", type=int, default=1, choices=range(1, 9), metavar="1-8")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--multiple", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    options = vars(parser.parse_args(arguments))
    make(options.pop("directory"), **options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
