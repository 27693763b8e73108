"""Which examples of the published data make up the splits, and in which order.

tensorflow-datasets (TFDS) stores the examples of a split in the order of a hash of their keys, and
the published splits are parts of that. So the same order is made here for data read from the
original files: both ways of preparing a data set give the same arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Part:
    """A part of a split of TFDS, in percent.

    Attributes:
      split: Name of the split in TFDS.
      first: Percent left out before it.
      last: Percent at which it ends.
    """

    split: str
    first: int = 0
    last: int = 100

    def bounds(self, count: int) -> tuple[int, int]:
        """Returns where it starts and stops among ``count`` examples, rounded as TFDS does."""
        return round(self.first * count / 100.0), round(self.last * count / 100.0)

    @property
    def instruction(self) -> str:
        """What TFDS calls it: ``"train[2%:100%]"``."""
        whole = (self.first, self.last) == (0, 100)
        return self.split if whole else f"{self.split}[{self.first}%:{self.last}%]"


def key_digests(keys: Iterable[str | int], split: str) -> np.ndarray:
    """Returns the MD5 of split and key of examples, by which TFDS sorts them.

    Args:
      keys: The key of each example, as its TFDS builder gives it.
      split: Name of the split in TFDS.

    Returns:
      u64[n,2]: the upper and the lower half of each.
    """
    salted = hashlib.md5(split.encode(), usedforsecurity=False)

    def digest(key: str | int) -> bytes:
        one = salted.copy()
        one.update(str(key).encode())
        return one.digest()

    halves = np.frombuffer(b"".join(map(digest, keys)), dtype=">u8").reshape(-1, 2)
    return halves.astype(np.uint64)


def digest_order(digests: np.ndarray) -> np.ndarray:
    """Returns the order in which TFDS stores examples.

    Args:
      digests: What :func:`key_digests` returned; of several calls with the same split, joined.

    Returns:
      i64[n]: the position in ``digests`` of the first stored example, of the second, and so on.
    """
    return np.lexsort((digests[:, 1], digests[:, 0]))


def tfds_order(keys: Iterable[str | int], split: str) -> np.ndarray:
    """Returns :func:`digest_order` of keys that are all there at once."""
    return digest_order(key_digests(keys, split))


def part_order(keys: Sequence[str | int] | range, part: Part) -> np.ndarray:
    """Returns the positions of the examples of ``part``, in the order of TFDS."""
    first, last = part.bounds(len(keys))
    return tfds_order(keys, part.split)[first:last]
