"""Readers of data sets that fit into memory: all examples are there, in the original order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.foundation.text import plural
from velodrome.taskgen.data.info import Arrays, DatasetInfo
from velodrome.taskgen.data.published.readers.base import Reader, SplitReader
from velodrome.taskgen.data.published.recipes import Recipe, recipe_of
from velodrome.taskgen.data.published.splits import part_order


def memory_reader(
    form: str,
    info: DatasetInfo,
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    files: Mapping[str, Mapping[str, Any]],
    published: bool | None,
) -> Reader:
    """Makes a reader of images and labels in memory.

    Args:
      form: What was found, in words.
      info: Facts about the data set.
      splits: By the name of the split in TFDS, ``(u8[N,H,W,C], u8[N])`` in the original order;
        an example's number is its key in TFDS.
      files: What was read.
      published: Whether the files are the published ones.

    Raises:
      DataError: The arrays are not those of the data set.
    """
    recipe = recipe_of(info.name)
    made = {}
    for split, part in recipe.parts.items():
        image, label = splits[part.split]
        _check_images(info, part.split, image, label, recipe)
        order = part_order(range(len(label)), part)
        image, label = image[order], label[order].astype(np.int32)
        made[split] = SplitReader(len(label), _slices(image, label))
    return Reader(form, made, files, published)


def _check_images(
    info: DatasetInfo, split: str, image: np.ndarray, label: np.ndarray, recipe: Recipe
) -> None:
    """Raises a :class:`DataError` unless the arrays can be those of a split of TFDS."""
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
                f"{number}, but here are {found[number]:,} of it: these are files of another data "
                "set, or damaged. Give the original ones."
            )


def _slices(image: np.ndarray, label: np.ndarray) -> Any:
    def read(start: int, stop: int) -> Arrays:
        return {"image": image[start:stop], "label": label[start:stop]}

    return read
