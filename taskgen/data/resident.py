"""What fits on the device: the limit for arrays kept there, and a cache bounded in bytes."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import psutil

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.info import DatasetInfo, kind_of
from velodrome.taskgen.data.variation import NONE, Variation
from velodrome.taskgen.schema import View

VARIABLE = "VELODROME_RESIDENT_BYTES"

#: One split may take a quarter of an accelerator's memory, which holds little else than a run, and
#: an eighth of the computer's, where each worker process has a copy.
ACCELERATOR_SHARE, HOST_SHARE = 4, 8

V = TypeVar("V")


def resident_limit() -> int:
    """Return how many bytes one split of a data set may take on the device.

    This is ``VELODROME_RESIDENT_BYTES`` if it is set, else a share of the memory. A larger split
    stays in its memory-mapped files, and batches are copied to the device in blocks; batches are
    the same either way.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        if not chosen.isdecimal():
            raise DataError(f"{VARIABLE} is {chosen!r}; set it to a number of bytes, or unset it.")
        return int(chosen)
    import jax  # noqa: PLC0415 - plans are made without it

    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] // ACCELERATOR_SHARE
    return psutil.virtual_memory().total // HOST_SHARE


def predicted_bytes(info: DatasetInfo, view: View, variation: Variation = NONE) -> int:
    """Return about how many bytes all splits take as a task sees them, without loading them.

    A split whose size is not known counts as nothing. Shifted images have zeros around them, and
    those that are cropped have their own size.
    """
    return kind_of(info.kind).nbytes(info, view, variation)


class ByteCache(Generic[V]):
    """Values made once and kept while all of them together are small enough.

    Args:
      limit: Returns how many bytes may be kept; the value made last is kept in any case.
      entries: The largest number of values to keep.
    """

    def __init__(self, limit: Callable[[], int], entries: int):
        self._limit = limit
        self._entries = entries
        self._kept: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], tuple[V, int]]) -> V:
        """Return the value of ``key``; ``make`` returns it with its size in bytes."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][0]
        value, size = make()
        self._kept[key] = value, size
        while len(self._kept) > 1 and (
            len(self._kept) > self._entries
            or sum(kept for _, kept in self._kept.values()) > self._limit()
        ):
            self._kept.popitem(last=False)
        return value
