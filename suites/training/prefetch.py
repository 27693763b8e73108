"""Blocks of batches that are copied to the device while the ones before are trained on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np


class Prefetch:
    """Fetches blocks ahead, in one thread.

    Nothing depends on what was fetched ahead but the time it takes: a block is a pure function of
    its indices.

    Args:
      fetch: Returns the block of some indices, as :meth:`velodrome.taskgen.data.source.Source.block` does.
    """

    def __init__(self, fetch: Callable[[np.ndarray], Any]):
        self._fetch = fetch
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._begun: dict[tuple[int, int], tuple[np.ndarray, Future[Any]]] = {}

    def begin(self, key: tuple[int, int], indices: np.ndarray) -> None:
        """Starts to fetch a block; until it is taken it stays in memory.

        Args:
          key: ``(seed, step)``. A block of the same seed that nobody took is dropped.
          indices: What the block shall hold.
        """
        for known in [known for known in self._begun if known[0] == key[0]]:
            self._begun.pop(known)[1].cancel()
        self._begun[key] = indices, self._thread.submit(self._fetch, indices)

    def take(self, key: tuple[int, int], indices: np.ndarray) -> Any:
        """Returns a block: the one begun under ``key`` if it is of these indices, or a new one."""
        begun = self._begun.pop(key, None)
        if begun is not None and np.array_equal(begun[0], indices):
            return begun[1].result()
        return self._fetch(indices)
