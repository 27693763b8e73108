"""Stores with known answers: exponential curves whose true speedup is chosen.

A baseline run at learning rate r on a task decays as ``floor + (start - floor) exp(-t / tau(r))``.
``tau`` is smallest at the best rate and grows away from it; the two largest rates diverge. A
candidate decays with ``tau(best) / speedup``, so its loss at step N is what the best baseline run
reaches at exactly ``speedup * N``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.results.plans import plan_of
from velodrome.foundation.canonical import content_hash
from velodrome.results.analyses.summary import table, task_rows
from velodrome.results.speedup.comparison import compare
from velodrome.results.store.cell import Cell
from velodrome.results.store.store import Store

RATES = (1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
EVENTFUL = (4.0, 2.0, 1.0, 8.0, 3.0, 0.5, 2.5, 1.5)
"""True speedups on the tasks of :func:`eventful`."""
FAMILIES = ("mlp", "cnn", "rnn", "transformer")


@dataclass(frozen=True)
class Candidate:
    """An optimizer without hyperparameters, and its true speedup on each task."""

    name: str
    speedups: Sequence[float]
    label: str = ""
    seconds_ratio: float = 2.0
    """Seconds per step over the baseline's."""
    weights: str = ""
    """Their hash, of a learned optimizer."""
    above: float = 0.0
    """How far above the baseline it ends, in units of the first loss."""


@dataclass(frozen=True)
class Made:
    """What was put into the store."""

    store: Store
    candidates: Sequence[Candidate]
    saturated: Sequence[int] = field(default_factory=tuple)


def exponential(
    steps: np.ndarray,
    tau: float,
    *,
    start: float = 2.5,
    floor: float = 0.4,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """One curve, with multiplicative noise of standard deviation ``noise``."""
    clean = floor + (start - floor) * np.exp(-steps / tau)
    if rng is None or noise == 0:
        return clean
    return clean * np.exp(noise * rng.standard_normal(len(steps)))


def make(
    directory: Path,
    candidates: Sequence[Candidate],
    *,
    steps: int = 200,
    multiple: int = 5,
    seeds: int = 3,
    noise: float = 0.003,
    rates: Sequence[float] = RATES,
    saturated: Sequence[int] = (),
    diverged: Sequence[tuple[str, int, int]] = (),
    failed: Sequence[tuple[str, int]] = (),
    missing: Sequence[tuple[str, int]] = (),
    untimed: Sequence[tuple[str, int]] = (),
    still: Sequence[tuple[str, int]] = (),
    provenance: str = "built-in",
    rate_shards: bool = False,
) -> Made:
    """Write a store of ``len(candidates[0].speedups)`` tasks.

    Args:
      directory: a new directory.
      candidates: the optimizers to compare with the sweep.
      steps: the candidates' horizon N; the baseline runs ``multiple * N``.
      multiple: see ``steps``.
      seeds: repetitions of every run.
      noise: relative noise of each evaluation.
      rates: the baseline's grid.
      saturated: tasks whose loss falls to nothing.
      diverged: (optimizer, task, seed) of runs that turn to NaN halfway.
      failed: (optimizer, task) of cells with a failure record and no shard.
      missing: (optimizer, task) of cells without anything.
      untimed: (optimizer, task) of cells without a timing.
      still: (optimizer, task) of cells whose runs stay where they begin, each seed elsewhere.
      provenance: of every task's data.
      rate_shards: one shard for each rate of the baseline, named ``<cell>-<number of rate>``.
    """
    count = len(candidates[0].speedups)
    protocol = {
        "steps": steps, "seeds": seeds, "baseline": "adam", "baseline_multiple": multiple,
        "eval_every": 10, "eval_examples": 512, "eval_batches": "fixed", "eval_mode": "eval",
        "version": 1,
    }  # fmt: skip
    tasks = [
        {
            "index": index,
            "label": f"{FAMILIES[index * 4 // max(count, 4)]}-{content_hash(index)[:8]}",
            "family": FAMILIES[index * 4 // max(count, 4)],
            "hash": content_hash(index),
        }
        for index in range(count)
    ]
    optimizers = [{"name": "adam", "label": "Adam"}] + [
        {"name": c.name, "label": c.label or c.name}
        | ({"identity": {"weights": c.weights}} if c.weights else {})
        for c in candidates
    ]
    cells, shards = [], []
    for task in tasks:
        for optimizer in optimizers:
            swept = optimizer["name"] == "adam"
            horizon = steps * (multiple if swept else 1)
            cell = {
                "id": content_hash([task["hash"], optimizer, horizon])[:16],
                "task": task, "optimizer": optimizer, "horizon": horizon,
                "data": {"name": "none", "content_hash": "0", "provenance": provenance},
            }  # fmt: skip
            cells.append(cell)
            grid: list[dict[str, Any]] = [{"learning_rate": r} for r in rates] if swept else [{}]
            lanes = [
                {"seed": seed, "hyperparameters": point} for seed in range(seeds) for point in grid
            ]
            lanes = [{"lane": i, **lane} for i, lane in enumerate(lanes)]
            split = len(grid) if rate_shards else 1
            # Lanes of one rate are ``len(grid)`` apart.
            shards += [
                {"id": f"{cell['id']}-{part}", "cell": cell["id"], "lanes": lanes[part::split]}
                for part in range(split)
            ]
    suite = {"name": "synthetic", "tasks": tasks, "protocol": protocol}
    manifest = {
        "suite": {"name": "synthetic", "hash": content_hash(suite)},
        "protocol": protocol, "protocol_hash": content_hash(protocol), "data": provenance,
        "created": "2026-01-01T00:00:00+00:00", "versions": {"velodrome": "0"},
        "device": {"name": "none"},
    }  # fmt: skip
    plan = plan_of(cells, shards)
    store = Store.create(directory, manifest=manifest, plan=plan, suite=suite)
    of_name = {c.name: c for c in candidates}
    cell_of = {cell["id"]: cell for cell in cells}
    for shard in shards:
        cell = cell_of[shard["cell"]]
        name, index = cell["optimizer"]["name"], cell["task"]["index"]
        if (name, index) in failed:
            store.write_failure(
                shard["id"],
                {"cell": cell["id"], "kind": "oom", "message": "out of memory", "time": "t"},
            )
            continue
        if (name, index) in missing:
            continue
        part = int(shard["id"].rpartition("-")[2])
        rng = np.random.default_rng([index, len(name), *([part] if part else [])])
        at = np.arange(0, cell["horizon"] + 1, 10)
        # Tasks differ in their scale and in how far the budget takes them.
        base_tau = steps * multiple * (0.35 + 0.4 * ((index * 7) % 5) / 5)
        start = 2.0 + 0.6 * (index % 4)
        floor = 0.0 if index in saturated else 0.2 * start
        if index in saturated:
            base_tau = steps / 5
        rows: dict[str, list[np.ndarray]] = {k: [] for k in ("lane", "step", "value", "split")}
        metadata_lanes = []
        for lane in shard["lanes"]:
            bad_from = None
            if name == "adam":
                rate = lane["hyperparameters"]["learning_rate"]
                away = abs(np.log10(rate) - np.log10(3e-3))
                tau = base_tau * 10.0**away
                if rate >= 0.3:
                    bad_from = 30
                lowest = floor
            else:
                tau = base_tau / of_name[name].speedups[index]
                lowest = floor + of_name[name].above * start
            if (name, index, lane["seed"]) in diverged:
                bad_from = cell["horizon"] // 20 * 10
            for split, gap in (("train", 0.0), ("heldout", 0.1)):
                curve = gap + exponential(at, tau, start=start, floor=lowest, noise=noise, rng=rng)
                if (name, index) in still:
                    curve = np.full(len(at), gap + start * (1 + 0.01 * lane["seed"]))
                if bad_from is not None:
                    curve = np.where(at >= bad_from, np.nan, curve)
                rows["lane"].append(np.full(len(at), lane["lane"]))
                rows["step"].append(at)
                rows["value"].append(curve)
                rows["split"].append(np.full(len(at), split))
            metadata_lanes.append(
                {**lane, "status": "diverged" if bad_from else "ok", "diverged_at": bad_from}
            )
        columns = {k: np.concatenate(v) for k, v in rows.items()}
        columns["metric"] = np.full(len(columns["lane"]), "loss")
        store.write_shard(
            shard["id"],
            columns,
            {
                "cell": cell,
                "lanes": metadata_lanes,
                "plan_hash": "p",
                "data": cell["data"],
            },  # fmt: skip
        )
        if (name, index) not in untimed:
            ratio = 1.0 if name == "adam" else of_name[name].seconds_ratio
            store.write_timing(
                cell["id"],
                {
                    "seconds_per_step": {"median": 1e-3 * ratio, "spread": 1e-5, "samples": []},
                    "baseline_seconds_per_step": {"median": 1e-3, "spread": 1e-5, "samples": []},
                    "ratio": ratio, "compile_seconds": 1.0, "eval_seconds": 0.1,
                },
            )  # fmt: skip
    return Made(store, candidates, saturated)


def summarize(store: Store) -> pd.DataFrame:
    """The summary of a whole store."""
    return table(row for task in compare(store) for row in task_rows(task))


def eventful(directory: Path, *, provenance: str = "built-in") -> Made:
    """Eight tasks on which everything happens that can happen."""
    return make(
        directory,
        [Candidate("velo", EVENTFUL, label="VeLO (velo-tiny)", seconds_ratio=2.0)],
        saturated=[4],
        diverged=[("velo", 5, 0), ("velo", 5, 1), ("velo", 1, 2), ("adam", 2, 0)],
        failed=[("velo", 6)],
        missing=[("velo", 7)],
        untimed=[("velo", 2)],
        provenance=provenance,
    )


def of_name(store: Store, name: str) -> Cell:
    """The only cell of an optimizer."""
    (cell,) = (cell for cell in store.cells() if cell.name == name)
    return cell
