"""The data of a task: its training batches, and the examples it is evaluated on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import jax
import numpy as np
from jaxtyping import PyTree

from velodrome.suites.protocol import Protocol
from velodrome.suites.training.placement import Placement
from velodrome.suites.training.rng import EVAL_SEED, Stream, fresh_eval_seed, key_of
from velodrome.taskgen.build import open_source
from velodrome.taskgen.spec import TaskSpec

SPLITS = ("train", "heldout")

#: Upper limit of the indices that are computed and kept at a time, in numbers.
_INDEX_BLOCK = 4_000_000

T = TypeVar("T")


class TaskData:
    """Batches of a task for training, and for evaluations as the protocol asks for them.

    Args:
      placement: The devices that the examples of a batch are split over. Default: one has all.
    """

    def __init__(self, spec: TaskSpec, protocol: Protocol, placement: Placement | None = None):
        self.dataset = spec.dataset
        self.batch_size, self._part = spec.batch_size, spec.part_size
        self._placement = placement
        self.protocol = protocol
        self.sources = {split: open_source(spec, split) for split in SPLITS}
        train = self.sources["train"]
        self.gather = jax.jit(
            lambda arrays, indices, seed, start: jax.vmap(
                lambda rows, step: train.gather_stored(
                    arrays, rows, key_of(seed, Stream.DATA, step), augment=True
                )
            )(indices, start + np.arange(indices.shape[0], dtype=np.int32))
        )
        self._gather_eval = {
            split: jax.jit(
                lambda arrays, rows, source=source: source.gather(
                    arrays, rows, key_of(EVAL_SEED, Stream.EVAL), augment=False
                )
            )
            for split, source in self.sources.items()
        }
        self._fixed: dict[str, PyTree] = {}
        self._blocks: dict[int, tuple[int, np.ndarray]] = {}
        self._prefetch = None if train.resident else Prefetch(train.block)

    @property
    def content_hashes(self) -> dict[str, str]:
        """Content hash of the arrays of each split, as used."""
        return {split: source.content_hash for split, source in self.sources.items()}

    def training_block(self, seed: int, start: int, count: int, horizon: int) -> PyTree:
        """Return the batches of ``count`` steps from ``start`` on, stacked on a first axis.

        They are as stored: a step converts its batch with `as_floats`. All lanes of a seed share
        the batches. Indices are computed up to ``horizon``, the steps of the whole run.
        """
        indices = self._indices(seed, start, count, horizon)
        if self._prefetch is None:
            arrays, places = self.sources["train"].block(indices)
        else:
            arrays, places = self._prefetch.take((seed, start), indices)
            following = min(count, horizon - start - count)
            if following > 0:
                after = self._indices(seed, start + count, following, horizon)
                self._prefetch.begin((seed, start + count), after)
        batches = self.gather(arrays, places, np.uint32(seed), np.int32(start))
        return self._placed(batches, axis=1)

    def eval_batch(self, split: str, seed: int, evaluation: int) -> PyTree:
        """Return the examples of evaluation number ``evaluation`` of the run ``seed``."""
        batches = self.protocol.eval_batch_count or 1
        if self.protocol.eval_batches == "stream" and split == "train":
            following = self.protocol.batch_number(evaluation * self.protocol.eval_every)
            return self._evaluated(split, seed, following - batches)
        if self.protocol.eval_batches != "fixed":
            return self._evaluated(split, fresh_eval_seed(seed), evaluation * batches)
        if split not in self._fixed:
            self._fixed[split] = self._evaluated(split, EVAL_SEED, 0)
        return self._fixed[split]

    def corpus_batches(self, most: int) -> Iterator[tuple[PyTree, np.ndarray]]:
        """Yield the held-out examples that corpus metrics are of, in batches of at most ``most``.

        With each comes b[examples]: which of them count, as the others only fill it up.
        """
        source = self.sources["heldout"]
        found = source.first(EVAL_SEED, self.protocol.corpus_examples, most)
        for rows, counted in zip(*found, strict=True):
            batch = self._gather_eval["heldout"](*source.block(rows))
            yield self._placed(batch, axis=0), counted

    def _evaluated(self, split: str, seed: int, first: int) -> PyTree:
        """Gather the examples of an evaluation: its batches in a row, from number ``first`` on."""
        source, batches = self.sources[split], self.protocol.eval_batch_count or 1
        size = min(self.protocol.examples_together(self.batch_size), source.size)
        part = self._part if self.protocol.eval_mode == "training-loss" else None
        rows = source.indices(seed, first, batches, size, part).reshape(-1)
        return self._placed(self._gather_eval[split](*source.block(rows)), axis=0)

    def _placed(self, batches: PyTree, *, axis: int) -> PyTree:
        """Split the examples, which lie along ``axis``, over the devices of a run."""
        # Gathered on one device first: the arrays that they are taken from are there alone.
        if self._placement is None:
            return batches
        return self._placement.place_examples(batches, axis=axis)

    def _indices(self, seed: int, start: int, count: int, horizon: int) -> np.ndarray:
        """Compute indices far ahead: a call of ``Source.indices`` sorts whole epochs."""
        first, block = self._blocks.get(seed, (0, np.empty((0, 0), np.int32)))
        if not first <= start <= start + count <= first + len(block):
            ahead = max(count, min(horizon - start, _INDEX_BLOCK // self.batch_size))
            steps = range(start, start + ahead)
            places = np.array([self.protocol.batch_number(step) for step in steps])
            begin, end = int(places[0]), int(places[-1]) + 1
            train, batch = self.sources["train"], (self.batch_size, self._part)
            stream = train.indices(seed, begin, end - begin, *batch)
            first, block = start, stream[places - begin]
            self._blocks[seed] = first, block
        return block[start - first : start - first + count]


class Prefetch(Generic[T]):
    """Copies blocks of batches to the device, in a thread, while earlier ones are trained on.

    ``fetch`` is `Source.block`. A block is a pure function of its indices, so fetching ahead
    changes no number.
    """

    def __init__(self, fetch: Callable[[np.ndarray], T]):
        self._fetch = fetch
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._begun: dict[tuple[int, int], tuple[np.ndarray, Future[T]]] = {}

    def begin(self, key: tuple[int, int], indices: np.ndarray) -> None:
        """Start to fetch a block; until it is taken it stays in memory.

        The key is ``(seed, step)``. A block of this seed that nobody took is dropped.
        """
        for known in [known for known in self._begun if known[0] == key[0]]:
            self._begun.pop(known)[1].cancel()
        self._begun[key] = indices, self._thread.submit(self._fetch, indices)

    def take(self, key: tuple[int, int], indices: np.ndarray) -> T:
        """Return a block: the one begun under ``key`` if it has these indices, or a new one."""
        begun = self._begun.pop(key, None)
        if begun is not None and np.array_equal(begun[0], indices):
            return begun[1].result()
        return self._fetch(indices)
