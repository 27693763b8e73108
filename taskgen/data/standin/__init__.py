"""Procedural stand-ins of the published data sets, for where these cannot be had.

Same shapes, types, classes and vocabulary; other content and smaller. They are used only where
they are named (``stand-in:mnist``) or asked for (``velodrome run --data stand-in``), and results on
them say so.
"""

from __future__ import annotations

import functools

import numpy as np

from velodrome.taskgen.data.info import Arrays, Dataset, DatasetInfo
from velodrome.taskgen.data.published.facts import BYTES, EXAMPLE_TOKENS, INFOS
from velodrome.taskgen.data.standin.hashes import HASHES
from velodrome.taskgen.data.standin.images import make_images
from velodrome.taskgen.data.standin.text import make_text
from velodrome.taskgen.data.stored import stored_dataset

PREFIX = "stand-in:"

# Enough that an epoch is longer than a short run, and little enough to be made in seconds.
_IMAGES = {"train": 20_000, "heldout": 2_000}
# A step of the tasks that train learned optimizers takes up to 25,600 examples of these.
_MANY_IMAGES = {"train": 26_000, "heldout": 2_000}
_OF_MANY = ("cifar10", "fashion_mnist")
_LARGE_IMAGES = {"train": 5_000, "heldout": 1_000}  # of 64x64 pixels
_SENTENCES = {"train": 50_000, "heldout": 5_000}
_ARTICLES = {"train": 10_000, "heldout": 1_000}
_WORDS_OF_SENTENCES, _WORDS_OF_ARTICLES = (4, 32), (30, 270)
_SPELLED_WORDS, _PIECES = 2_000, 32_000 - 3


def stand_in_name(name: str) -> str:
    """Returns the name of the stand-in of a published data set."""
    return PREFIX + name


def build(info: DatasetInfo) -> dict[str, Arrays]:
    """Makes the stand-in of a published data set.

    Args:
      info: Facts of the published data set.

    Returns:
      ``{split: arrays}``, as :class:`velodrome.taskgen.data.Dataset` describes them.
    """
    if info.kind == "image":
        sizes = _sizes(info)
        made = make_images(info.name, sizes, shape=info.shape, classes=info.num_classes)
        for arrays in made.values():
            arrays["image"] = arrays["image"].astype(np.dtype(info.dtype), copy=False)
        return made
    spelled = info.vocab_size == BYTES
    return make_text(
        info.name,
        _sizes(info),
        words=_SPELLED_WORDS if spelled else _PIECES,
        lengths=_WORDS_OF_ARTICLES if info.name.startswith("wikipedia") else _WORDS_OF_SENTENCES,
        spelled=spelled,
        keep=EXAMPLE_TOKENS,
    )


def _sizes(info: DatasetInfo) -> dict[str, int]:
    if info.kind == "text":
        return _ARTICLES if info.name.startswith("wikipedia") else _SENTENCES
    if info.name in _OF_MANY:
        return _MANY_IMAGES
    return _LARGE_IMAGES if info.shape[0] > 32 else _IMAGES


def _dataset(published: DatasetInfo) -> Dataset:
    name = stand_in_name(published.name)
    info = DatasetInfo(
        name=name,
        kind=published.kind,
        licence="none needed: generated",
        origin=f"generated in place of {published.name}; not real data",
        provenance="stand-in",
        shape=published.shape,
        num_classes=published.num_classes,
        dtype=published.dtype,
        vocab_size=published.vocab_size,
        layout=published.layout,
        example_tokens=published.example_tokens,
        split_sizes=_sizes(published),
        split_hashes=HASHES[published.name],
    )
    make = functools.partial(build, published)
    return stored_dataset(info, make, distribution="numpy", version="2.4.6")


DATASETS = tuple(_dataset(info) for info in INFOS)
"""The stand-in of every published data set."""
