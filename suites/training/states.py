"""The end states of a shard's runs, each by itself, so that any of them can go on in any group."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from velodrome.foundation import checkpoint
from velodrome.foundation.errors import StoreError
from velodrome.results.store.plan import Lane, Run
from velodrome.suites.training.checkpoint import data_of, placed
from velodrome.suites.training.lane_batch import LaneBatch


def save(path: Path, lane_batches: Sequence[LaneBatch], lanes: Sequence[Lane], step: int) -> bool:
    """Write the states after ``step`` updates, atomically; return False if no lane is alive.

    Raises:
      VelodromeError: The file cannot be written.
    """
    runs, entries = {lane.lane: lane.run for lane in lanes}, {}
    kept: list[Run] = []
    for batch in lane_batches:
        if not batch.alive:
            continue
        leaves = [np.asarray(x) for x in jax.device_get([*map(data_of, _leaves(batch))])]
        for at, number in enumerate(batch.numbers.tolist()):
            if number < 0:
                continue  # it only fills up
            for index, leaf in enumerate(leaves):
                mine = leaf[_place(batch, at)] if batch.vmap else leaf
                entries[f"{len(kept)}.{index}"] = np.asarray(mine)
            kept.append(runs[number])
    if kept:
        checkpoint.save(path, {"step": step, "runs": kept}, entries)
    return bool(kept)


def restore(
    path: Path, lane_batches: Sequence[LaneBatch], lanes: Sequence[Lane], step: int
) -> None:
    """Put lanes, which have been started, into the states that their runs had after ``step``.

    Raises:
      StoreError: The file is missing or damaged, or lacks one of the states.
    """
    runs = {lane.lane: lane.run for lane in lanes}
    meta, stored = checkpoint.load_meta(path), checkpoint.load(path)
    known = {(str(point), int(seed)): at for at, (point, seed) in enumerate(meta["runs"])}
    missing = [run for run in runs.values() if run not in known]
    if missing or meta["step"] != step:
        what = f"has no state of {missing[0]}" if missing else f"is not of step {step}"
        raise StoreError(f"the file {path} {what}")
    found = []
    for batch in lane_batches:
        numbers, leaves = _filled(batch), _leaves(batch)
        restored = []
        for index, leaf in enumerate(leaves):
            like = data_of(leaf)
            names = [f"{known[runs[number]]}.{index}" for number in numbers]
            parts = [stored[name] for name in names if name in stored]
            if len(parts) < len(names):
                raise StoreError(f"the file {path} holds another kind of state")
            shape = (*batch.shape, *parts[0].shape)
            whole = np.stack(parts).reshape(shape) if batch.vmap else parts[0]
            name = f"leaf {index}"
            restored.append(placed(checkpoint.fit(path, {name: whole}, {name: like})[name], leaf))
        found.append(jax.tree.unflatten(jax.tree.structure(batch.state), restored))
    for batch, state in zip(lane_batches, found, strict=True):
        batch.resume(state)


def _leaves(batch: LaneBatch) -> list[jax.Array]:
    return jax.tree.leaves(batch.state)


def _place(batch: LaneBatch, at: int) -> tuple[int, int]:
    """Return the place of a lane on the two lane axes."""
    return divmod(at, batch.shape[1])


def _filled(batch: LaneBatch) -> list[int]:
    """Return the numbers of the lanes; those that fill up are copies of the last of their axis."""
    if not batch.vmap:
        return batch.numbers.tolist()
    numbers = batch.numbers.reshape(batch.shape)
    seeds, points = (int((numbers >= 0).any(axis=axis).sum()) for axis in (1, 0))
    rows = np.minimum(np.arange(batch.shape[0]), seeds - 1)
    columns = np.minimum(np.arange(batch.shape[1]), points - 1)
    return numbers[np.ix_(rows, columns)].reshape(-1).tolist()
