"""What fits on the device: the limit for arrays kept there, and a cache bounded in bytes."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.views import ImageView, TextView

VARIABLE = "VELODROME_RESIDENT_BYTES"

#: Share of the memory that one split may take: of an accelerator's own, which holds little else
#: than a run; of the computer's, where worker processes each have their copy.
ACCELERATOR_SHARE, HOST_SHARE = 4, 8


def resident_limit() -> int:
    """Returns how many bytes one split of a data set may take on the device.

    A larger split stays in its memory-mapped files, and batches are copied to the device in
    blocks. Batches are the same either way.

    Returns:
      ``VELODROME_RESIDENT_BYTES`` if it is set; else a quarter of the memory of the default
      device if that is an accelerator, and an eighth of the computer's memory if not.

    Raises:
      DataError: The variable is set to something that is no number of bytes.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        if not chosen.isdecimal():
            raise DataError(f"{VARIABLE} is {chosen!r}; set it to a number of bytes, or unset it.")
        return int(chosen)
    import jax

    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] // ACCELERATOR_SHARE
    import psutil

    return psutil.virtual_memory().total // HOST_SHARE


def predicted_bytes(info: DatasetInfo, view: ImageView | TextView, *, shift: int = 0) -> int:
    """Returns about how many bytes all splits take as a task sees them, without loading them.

    Args:
      info: Facts about the data set; a split whose size is not known counts as nothing.
      view: What the task's family asks for.
      shift: Images: zeros put around each.
    """
    total = sum(info.split_sizes.values())
    if isinstance(view, ImageView):
        native = info.dtype == "uint8" and info.shape == (view.size, view.size, view.channels)
        return total * (view.size + 2 * shift) ** 2 * view.channels * (1 if native else 4)
    token = 1 if info.vocab_size <= 259 else 2  # bytes, and the ids around them, fit into one
    return total * token * (view.length + 1 if info.layout == "examples" else 1)


class ByteCache:
    """Values made once and kept while all of them together are small enough.

    Args:
      limit: Returns how many bytes may be kept; the value made last is kept in any case.
      entries: At most so many values are kept.
    """

    def __init__(self, limit: Callable[[], int], entries: int):
        self._limit = limit
        self._entries = entries
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], tuple[Any, int]]) -> Any:
        """Returns the value of ``key``.

        Args:
          key: What stands for the value.
          make: Returns the value and its size in bytes; called if the value is not kept.
        """
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
