"""How each published data set is had: its splits in TFDS, its original files, and the steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from foundation.errors import DataError, UnknownNameError
from taskgen.data.info import DatasetInfo
from taskgen.data.published.sources import RawFile
from taskgen.data.published.splits import Part


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
    """

    tfds: str
    parts: Mapping[str, Part]
    counts: Mapping[str, int] = field(default_factory=dict)
    files: tuple[RawFile, ...] = ()
    layout: str = ""
    vocabulary: bool = False
    by_hand: str = ""
    text_bytes: int = 0


_IMAGES = {"train": Part("train", 0, 80), "heldout": Part("test")}
_VALIDATED = {"train": Part("train", 0, 80), "heldout": Part("validation")}
_LM1B = {"train": Part("train", 2, 100), "heldout": Part("test")}
_WIKIPEDIA = {"train": Part("train", 3, 100), "heldout": Part("train", 2, 3)}

# Sizes and SHA-256 as in the checksum files of tensorflow-datasets 4.9.10.
_MNIST = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_TORONTO = "https://www.cs.toronto.edu/~kriz/"


def _idx(base: str, *facts: tuple[str, int, str]) -> tuple[RawFile, ...]:
    return tuple(RawFile(base + name, size, sha256) for name, size, sha256 in facts)


_MNIST_FILES = _idx(
    _MNIST,
    (
        "train-images-idx3-ubyte.gz",
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    (
        "train-labels-idx1-ubyte.gz",
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    (
        "t10k-images-idx3-ubyte.gz",
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    (
        "t10k-labels-idx1-ubyte.gz",
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
)
_FASHION_FILES = _idx(
    _FASHION,
    (
        "train-images-idx3-ubyte.gz",
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    (
        "train-labels-idx1-ubyte.gz",
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    (
        "t10k-images-idx3-ubyte.gz",
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    (
        "t10k-labels-idx1-ubyte.gz",
        5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
)
_LM1B_FILES = (
    RawFile(
        "http://www.statmt.org/lm-benchmark/"
        "1-billion-word-language-modeling-benchmark-r13output.tar.gz",
        1_792_209_805,
        "01ba60381110baf7f189dfd2b8374de371e8c9a340835793f190bdae9e90a34e",
    ),
)
_WIKIPEDIA_BY_HAND = (
    "prepare wikipedia/20201201.en with tensorflow-datasets elsewhere, as ArrayRecord, and give "
    "its data_dir with --from"
)
_IMAGENET_BY_HAND = (
    "register at image-net.org, unpack ILSVRC2012 into train/WNID/*.JPEG and val/WNID/*.JPEG, and "
    "give that folder, or a TFDS data_dir with imagenet2012, with --from"
)

RECIPES: Mapping[str, Recipe] = {
    "mnist": Recipe("mnist", _IMAGES, {"train": 60_000, "test": 10_000}, _MNIST_FILES, "idx"),
    "fashion_mnist": Recipe(
        "fashion_mnist", _IMAGES, {"train": 60_000, "test": 10_000}, _FASHION_FILES, "idx"
    ),
    "cifar10": Recipe(
        "cifar10",
        _IMAGES,
        {"train": 50_000, "test": 10_000},
        (
            RawFile(
                _TORONTO + "cifar-10-binary.tar.gz",
                170_052_171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
        ),
        "cifar",
    ),
    "cifar100": Recipe(
        "cifar100",
        _IMAGES,
        {"train": 50_000, "test": 10_000},
        (
            RawFile(
                _TORONTO + "cifar-100-binary.tar.gz",
                168_513_733,
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            ),
        ),
        "cifar",
    ),
    "food101_64": Recipe(
        "food101",
        _VALIDATED,
        {"train": 75_750, "validation": 25_250},
        (
            RawFile(
                "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
                4_996_278_331,
                "d97d15e438b7f4498f96086a4f7e2fa42a32f2712e87d3295441b2b6314053a4",
            ),
        ),
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
    "lm1b_bytes": Recipe("lm1b", _LM1B, files=_LM1B_FILES, layout="lm1b", text_bytes=4_000_000_000),
    "lm1b_32k": Recipe(
        "lm1b",
        _LM1B,
        files=_LM1B_FILES,
        layout="lm1b",
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
    from taskgen.data import datasets  # which imports this package

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
