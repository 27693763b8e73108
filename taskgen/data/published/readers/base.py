"""What a reader of published data gives: examples of a split by number, in their final order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from velodrome.taskgen.data.info import Arrays


@dataclass(frozen=True)
class SplitReader:
    """One split, readable from any place, so that a preparation can be taken up again.

    Attributes:
      count: Number of examples.
      read: ``read(start, stop)`` returns the arrays of those examples, decoded and resized:
        ``{"image", "label"}``, or ``{"tokens", "offsets"}`` with offsets from 0.
    """

    count: int
    read: Callable[[int, int], Arrays]


@dataclass(frozen=True)
class Reader:
    """A data set in some form on disk.

    Attributes:
      form: What was found, in words: "IDX files", "food-101.tar.gz".
      splits: "train" and "heldout".
      files: What was read: name to size in bytes, and SHA-256 where it was computed.
      published: Whether those hashes are the ones published with the data; None if that cannot be
        told, as of unpacked files.
      notes: What else decided the arrays, such as the hash of a vocabulary.
      unpacked: A folder of the cache that was made only to be read from, if there is one; it is of
        no use once the data are prepared.
    """

    form: str
    splits: Mapping[str, SplitReader]
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    published: bool | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    unpacked: Path | None = None
