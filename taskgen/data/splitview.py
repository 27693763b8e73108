"""A split as a task sees it, on the host: all of it at once, or some examples at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.packedorder import PackedOrder


@dataclass(frozen=True)
class SplitView:
    """How to make the arrays that batches are gathered from.

    Attributes:
      size: Number of examples.
      nbytes: Bytes of all arrays together.
      facts: What decides the batches; part of the source's content hash.
      key: Equal for views of the same split that have equal arrays.
      whole: Makes the arrays of all examples.
      rows: ``rows(indices)`` makes the arrays of some examples, in that order.
      order: What puts examples of different sizes into batches that have room for them, where
        that is needed. Example number ``size`` is nothing then.
    """

    size: int
    nbytes: int
    facts: Mapping[str, int | str]
    key: Hashable
    whole: Callable[[], Arrays]
    rows: Callable[[np.ndarray], Arrays]
    order: PackedOrder | None = None
