"""Corpus metrics of lanes: collected on the device batch by batch, and scored on the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import PyTree

from velodrome.foundation.errors import VelodromeError
from velodrome.suites.training.taskdata import TaskData
from velodrome.taskgen.functions import Corpus

Arrays = dict[str, np.ndarray]


@runtime_checkable
class Collecting(Protocol):
    """Lanes that can be asked for what their corpus metrics need.

    Attributes:
      numbers: i32[lanes], negative for those that only fill up.
    """

    numbers: np.ndarray

    def collect(self, batch: PyTree) -> Arrays:
        """Return arrays ``[lanes, examples, ...]``."""
        ...


def measure(
    corpus: Corpus,
    data: TaskData,
    lane_batches: Sequence[Collecting],
    losses: Sequence[np.ndarray],
    *,
    together: int,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield ``{metric: f32[lanes]}`` for each batch of lanes.

    Args:
      losses: f32[lanes] for each batch of lanes: where it is not finite, metrics are NaN.
      together: Most examples that a network looks at together.

    Raises:
      VelodromeError: The functions of the family return something else than they should.
    """
    parts: list[list[Arrays]] = [[] for _ in lane_batches]
    # The arrays of one batch are on the host before the next: a whole split may not fit a device.
    for batch, counted in data.corpus_batches(together):
        for found, lanes in zip(parts, lane_batches, strict=True):
            found.append(_of(lanes.collect(batch), counted))
    for found, lanes, loss in zip(parts, lane_batches, losses, strict=True):
        whole = {name: np.concatenate([part[name] for part in found], axis=1) for name in found[0]}
        values = {name: np.full(len(lanes.numbers), np.nan, np.float32) for name in corpus.names}
        for lane in np.flatnonzero((lanes.numbers >= 0) & np.isfinite(loss)):
            scores = corpus.score(
                {name: array[lane] for name, array in whole.items()}, data.dataset
            )
            if set(scores) != set(corpus.names):
                raise VelodromeError(
                    f"the score of corpus metrics has {sorted(scores)}, not the names that the "
                    f"family declares: {sorted(corpus.names)}."
                )
            for name, value in scores.items():
                values[name][lane] = value
        yield values


def _of(collected: Arrays, counted: np.ndarray) -> Arrays:
    """Return what was collected of the examples that count."""
    for name, array in collected.items():
        if array.shape[1:2] != counted.shape:
            raise VelodromeError(
                f"collect returns {name!r} of shape {list(array.shape[1:])} for a batch of "
                f"{len(counted)} examples: its first axis must be theirs."
            )
    return {name: array[:, counted] for name, array in collected.items()}
