"""Which examples of the published data make up the splits, and in which order.

tensorflow-datasets (TFDS) stores the examples of a split in the order of a hash of their keys, and
the published splits are parts of that. Data read from the original files are put into this order
too, so both ways of preparing a data set give the same arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Part:
    """A part of a split of TFDS, from ``first`` to ``last`` percent.

    ``builder`` is its data set, where that is not the recipe's.
    """

    split: str
    first: int = 0
    last: int = 100
    builder: str = ""

    def bounds(self, count: int) -> tuple[int, int]:
        """Return where it starts and stops among ``count`` examples, rounded as TFDS does."""
        return round(self.first * count / 100.0), round(self.last * count / 100.0)

    @property
    def instruction(self) -> str:
        """The name of the part in TFDS: ``"train[2%:100%]"``."""
        whole = (self.first, self.last) == (0, 100)
        return self.split if whole else f"{self.split}[{self.first}%:{self.last}%]"


def key_digests(keys: Iterable[str | int], split: str) -> np.ndarray:
    """Return the MD5 of split and key of examples, by which TFDS sorts them.

    The keys are those that the builder of TFDS gives them. Returns u64[n,2]: the upper and the
    lower half of each hash.
    """
    salted = hashlib.md5(split.encode(), usedforsecurity=False)

    def digest(key: str | int) -> bytes:
        one = salted.copy()
        one.update(str(key).encode())
        return one.digest()

    halves = np.frombuffer(b"".join(map(digest, keys)), dtype=">u8").reshape(-1, 2)
    return halves.astype(np.uint64)


def digest_order(digests: np.ndarray) -> np.ndarray:
    """Return i64[n], the positions of examples in the order in which TFDS stores them.

    ``digests`` come from :func:`key_digests`, joined if there were several calls for one split.
    """
    return np.lexsort((digests[:, 1], digests[:, 0]))


def tfds_order(keys: Iterable[str | int], split: str) -> np.ndarray:
    """Return :func:`digest_order` of keys that fit into memory."""
    return digest_order(key_digests(keys, split))


def part_order(keys: Sequence[str | int] | range, part: Part) -> np.ndarray:
    """Return the positions of the examples of ``part``, in the order of TFDS."""
    first, last = part.bounds(len(keys))
    return tfds_order(keys, part.split)[first:last]
