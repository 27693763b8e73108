"""What a reader of published data gives: examples of a split by number, in their final order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.foundation.text import plural
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.images import crop_centre, squash
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.recipes import RECIPES
from velodrome.taskgen.data.published.sources import FileFacts
from velodrome.taskgen.data.published.splits import part_order

SIDES = {"source": "de", "target": "en"}
"""The languages of the two sides of pairs: all that are published here are German and English."""


@dataclass(frozen=True)
class SplitReader:
    """One split, readable from any place, so that an interrupted preparation can be resumed.

    Attributes:
      count: Number of examples.
      read: ``read(start, stop)`` returns the arrays of those examples, decoded and resized:
        those that data sets of its kind have, with offsets from 0.
    """

    count: int
    read: Callable[[int, int], Arrays]


@dataclass(frozen=True)
class Reader:
    """A data set in some form on disk.

    Attributes:
      form: What was found, in words: "IDX files", "food-101.tar.gz".
      splits: "train" and "heldout".
      files: What was read, by name, where it was hashed.
      published: Whether the files are the published ones, see
        :func:`~velodrome.taskgen.data.published.sources.is_published`.
      notes: What else decided the arrays, such as the hash of a vocabulary.
      unpacked: A folder of the cache that holds an unpacked archive, to be deleted when the data
        are prepared.
    """

    form: str
    splits: Mapping[str, SplitReader]
    files: Mapping[str, FileFacts] = field(default_factory=dict)
    published: bool | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    unpacked: Path | None = None


def spans(offsets: np.ndarray, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield where examples lie that are spread over several files, or groups of one.

    Args:
      offsets: i64[N+1], the number of the first example of each file, and that of all examples.
      start: The first example.
      stop: The one after the last.

    Yields:
      The number of a file, and the first example in it, and the one after the last.

    Examples:
      >>> list(spans(np.array([0, 4, 4, 6]), 2, 5))  # the second file is empty
      [(0, 2, 4), (2, 0, 1)]
    """
    file = int(np.searchsorted(offsets, start, side="right")) - 1
    while start < stop:
        before, after = int(offsets[file]), int(offsets[file + 1])
        if start < after:  # it is not empty
            yield file, start - before, min(stop, after) - before
        start, file = max(start, after), file + 1


def fitted(image: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """Return a photograph u8[H,W,3] in the shape and type of a published data set."""
    return (crop_centre if RECIPES[info.name].cropped else squash)(image, info)


def memory_reader(
    form: str,
    info: DatasetInfo,
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    files: Mapping[str, FileFacts],
    published: bool | None,
) -> Reader:
    """Make a reader of images and labels that fit into memory.

    ``splits`` are ``(u8[N,H,W,C], u8[N])`` by the name of the split in TFDS, in the original
    order: the number of an example is its key in TFDS.
    """
    made = {}
    for split, part in RECIPES[info.name].parts.items():
        image, label = splits[part.split]
        _check_images(info, part.split, image, label)
        order = part_order(range(len(label)), part)
        made[split] = _array_reader(image[order], label[order].astype(np.int32))
    return Reader(form, made, files, published)


def _check_images(info: DatasetInfo, split: str, image: np.ndarray, label: np.ndarray) -> None:
    recipe = RECIPES[info.name]
    expected = (recipe.counts[split], *info.shape)
    if image.shape != expected or label.shape != image.shape[:1]:
        raise DataError(
            f"the {split} split of {info.name} has images of {expected}, but here they are of "
            f"{image.shape}, with labels of {label.shape}. Give the whole original data set."
        )
    if len(label) and int(label.max()) >= info.num_classes:
        raise DataError(
            f"the {split} split of {info.name} has a label {int(label.max())}, but labels go from "
            f"0 to {info.num_classes - 1}. Give the original files of this data set."
        )
    found = np.bincount(label, minlength=info.num_classes).tolist()
    for number, count in enumerate(recipe.class_counts.get(split, ())):
        if found[number] != count:
            raise DataError(
                f"the {split} split of {info.name} has {plural(count, 'image')} of class "
                f"{number}, but these files have {found[number]:,}: they are of another data set, "
                "or damaged. Give the original files."
            )


def _array_reader(image: np.ndarray, label: np.ndarray) -> SplitReader:
    def read(start: int, stop: int) -> Arrays:
        return {"image": image[start:stop], "label": label[start:stop]}

    return SplitReader(len(label), read)
