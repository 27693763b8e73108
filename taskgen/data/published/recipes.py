"""How each published data set is had: its splits in TFDS, its original files, and the steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from velodrome.foundation.errors import DataError, UnknownNameError
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published import originals
from velodrome.taskgen.data.published.sources import RawFile
from velodrome.taskgen.data.published.splits import Part


@dataclass(frozen=True)
class Recipe:
    """How a published data set is had.

    Attributes:
      tfds: Name of the builder in TFDS, with its config.
      parts: The part of a split of TFDS that each of our splits is.
      counts: Examples of the whole splits in TFDS, where these are fixed.
      files: The original files, as published.
      layout: Which reader takes the original files: "idx", "cifar", "food101", "imagenet",
        "lm1b", or "" where only a TFDS folder will do.
      vocabulary: Whether a SentencePiece model is needed.
      by_hand: What one must do oneself, where nothing can be fetched without an account.
      text_bytes: About what the prepared texts take, as the number of their tokens is not fixed.
      class_counts: Images of each class in the whole splits, where these are published.
    """

    tfds: str
    parts: Mapping[str, Part]
    counts: Mapping[str, int] = field(default_factory=dict)
    files: tuple[RawFile, ...] = ()
    layout: str = ""
    vocabulary: bool = False
    by_hand: str = ""
    text_bytes: int = 0
    class_counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


_IMAGES = {"train": Part("train", 0, 80), "heldout": Part("test")}
_VALIDATED = {"train": Part("train", 0, 80), "heldout": Part("validation")}
_LM1B = {"train": Part("train", 2, 100), "heldout": Part("test")}
_WIKIPEDIA = {"train": Part("train", 3, 100), "heldout": Part("train", 2, 3)}

_WIKIPEDIA_BY_HAND = (
    "prepare wikipedia/20201201.en with tensorflow-datasets elsewhere, as ArrayRecord, and give "
    "its data_dir with --from"
)
_IMAGENET_BY_HAND = (
    "register at image-net.org, unpack ILSVRC2012 into train/WNID/*.JPEG and val/WNID/*.JPEG "
    "(docs/data.md has the commands), and give that folder, or a TFDS data_dir with imagenet2012, "
    "with --from"
)

_MNIST_COUNTS = {"train": 60_000, "test": 10_000}
_CIFAR_COUNTS = {"train": 50_000, "test": 10_000}
_LM1B_COUNTS = {"train": 30_301_028, "test": 306_688}
_MNIST_CLASSES = {
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}


def _even(counts: Mapping[str, int], classes: int) -> Mapping[str, tuple[int, ...]]:
    """As many images of one class as of any other."""
    return {split: (count // classes,) * classes for split, count in counts.items()}


RECIPES: Mapping[str, Recipe] = {
    "mnist": Recipe(
        "mnist",
        _IMAGES,
        _MNIST_COUNTS,
        originals.MNIST,
        "idx",
        class_counts=_MNIST_CLASSES,
    ),
    "fashion_mnist": Recipe(
        "fashion_mnist",
        _IMAGES,
        _MNIST_COUNTS,
        originals.FASHION_MNIST,
        "idx",
        class_counts=_even(_MNIST_COUNTS, 10),
    ),
    "cifar10": Recipe(
        "cifar10",
        _IMAGES,
        _CIFAR_COUNTS,
        originals.CIFAR10,
        "cifar",
        class_counts=_even(_CIFAR_COUNTS, 10),
    ),
    "cifar100": Recipe(
        "cifar100",
        _IMAGES,
        _CIFAR_COUNTS,
        originals.CIFAR100,
        "cifar",
        class_counts=_even(_CIFAR_COUNTS, 100),
    ),
    "food101_64": Recipe(
        "food101",
        _VALIDATED,
        {"train": 75_750, "validation": 25_250},
        originals.FOOD101,
        "food101",
    ),
    **{
        f"imagenet{size}": Recipe(
            "imagenet2012",
            _VALIDATED,
            {"train": 1_281_167, "validation": 50_000},
            layout="imagenet",
            by_hand=_IMAGENET_BY_HAND,
        )
        for size in (16, 32, 64)
    },
    "lm1b_bytes": Recipe(
        "lm1b", _LM1B, _LM1B_COUNTS, originals.LM1B, "lm1b", text_bytes=4_000_000_000
    ),
    "lm1b_32k": Recipe(
        "lm1b",
        _LM1B,
        _LM1B_COUNTS,
        originals.LM1B,
        "lm1b",
        vocabulary=True,
        text_bytes=2_000_000_000,
    ),
    "wikipedia_bytes": Recipe(
        "wikipedia/20201201.en",
        _WIKIPEDIA,
        by_hand=_WIKIPEDIA_BY_HAND,
        text_bytes=5_000_000_000,
    ),
    "wikipedia_32k": Recipe(
        "wikipedia/20201201.en",
        _WIKIPEDIA,
        vocabulary=True,
        by_hand=_WIKIPEDIA_BY_HAND,
        text_bytes=5_000_000_000,
    ),
}
"""By the name of the data set."""


def recipe_of(name: str) -> Recipe:
    """Returns the recipe of a published data set.

    Raises:
      UnknownNameError: There is no such published data set.
      DataError: It is one that needs no preparation.
    """
    from velodrome.taskgen.data import datasets  # which imports this package

    if name not in RECIPES and name in datasets.names():
        raise DataError(
            f"{name!r} needs no preparation: it is built in, generated when it is used, or comes "
            "with another package. `velodrome data status` shows which are to be prepared."
        )
    if name not in RECIPES:
        raise UnknownNameError("data set to prepare", name, RECIPES)
    return RECIPES[name]


def how_to_get(name: str) -> str:
    """Returns the command that prepares a published data set; "" for any other data set."""
    recipe = RECIPES.get(name)
    if recipe is None:
        return ""
    words = f"velodrome data prepare {name} " + ("--download" if recipe.files else "--from DIR")
    return words + (" --vocabulary FILE" if recipe.vocabulary else "")


def about_bytes(info: DatasetInfo) -> int:
    """Returns about what the arrays of a data set take, prepared or not; 0 if that is not known."""
    examples = sum(info.split_sizes.values())
    if info.kind == "image":
        pixels = math.prod(info.shape) * np.dtype(info.dtype).itemsize
        return examples * (pixels + np.dtype(np.int32).itemsize)
    if info.name in RECIPES:
        return RECIPES[info.name].text_bytes
    # A stream of tokens.
    return examples * np.min_scalar_type(info.vocab_size - 1).itemsize
