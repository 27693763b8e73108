"""The searches that built-in weights continue, whose cost is part of theirs.

Weights' cards, which lie in the files that results have the hashes of, know their last search
alone. The hours here are those of cards and of docs/explanation/log.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from velodrome.optimizers.metacost import MetaTrainingCost

#: CPU hours of velo-tiny-long (41 minutes), of velo-tiny and velo-tiny-2, and of the search after
#: them that was not finished (20 minutes).
_LONG, _TINY, _TINY_2, _UNFINISHED = 0.683, 1.226, 0.934, 0.333

#: CPU hours of the searches before the last one, by the hash of the weights' arrays: each began
#: where those before had come, the last of velo-tiny-3 between the two before it.
EARLIER: Mapping[str, tuple[float, ...]] = {
    "b9b49de7086e946b565e082af98795e1277a31a3282c0c7a49f2c0cdced4bc96": (_LONG,),
    "5b857269797c2edfecb75ac847cbb6358070518dfc1fdf136014b60f9586175e": (_LONG, _TINY),
    "1f5cbebc7be6d12fdf7ec8a723f126623b98c8e434a1a28ff2f511ed78325ab4": (
        _LONG, _TINY, _TINY_2, _UNFINISHED,
    ),
}  # fmt: skip


def with_earlier(cost: MetaTrainingCost | None, content_hash: str) -> MetaTrainingCost | None:
    """Return the cost of weights with that of the searches that they continue, if there are any."""
    before = EARLIER.get(content_hash)
    if cost is None or before is None:
        return cost
    last = f", the last of {cost.detail}" if cost.detail else ""
    return dataclasses.replace(
        cost,
        amount=math.fsum((*before, cost.amount)),
        detail=f"{1 + len(before)} searches, each from where the one before had come{last}",
        source=f"{cost.source} and the log",
    )
