"""The published data sets: their facts, so that specs on them can be sampled and costed.

Sizes are those of the splits that Metz et al. 2022 (arXiv 2211.09760) train on: the first 80% of
the original training images; held out is the original test set. Where a split's size depends on
how the data are prepared it is left out.
"""

from __future__ import annotations

from typing import NoReturn

from foundation.errors import DataError
from taskgen.data.info import Dataset, DatasetInfo

_BYTES = 259  # 256 bytes after the ids for padding, end and unknown
_PIECES = 32_100  # 32,000 SentencePiece tokens of T5 and its 100 extra ids


def _image(
    name: str, origin: str, shape: tuple[int, int, int], classes: int, **sizes: int
) -> DatasetInfo:
    return DatasetInfo(
        name=name,
        kind="image",
        licence="not distributed with this package; see the origin",
        origin=origin,
        provenance="real",
        shape=shape,
        num_classes=classes,
        split_sizes=sizes,
    )


def _text(name: str, origin: str, vocab_size: int) -> DatasetInfo:
    return DatasetInfo(
        name=name,
        kind="text",
        licence="not distributed with this package; see the origin",
        origin=origin,
        provenance="real",
        vocab_size=vocab_size,
    )


_LM1B = "One Billion Word Benchmark (Chelba et al. 2013), "
_WIKIPEDIA = "English Wikipedia of 2020-12-01, "
_AS_BYTES = "as bytes: id = byte + 3"
_AS_PIECES = "as T5's 32,000 SentencePiece tokens"

INFOS = (
    _image("mnist", "MNIST (LeCun et al.)", (28, 28, 1), 10, train=48_000, heldout=10_000),
    _image(
        "fashion_mnist",
        "Fashion-MNIST (Xiao et al. 2017)",
        (28, 28, 1),
        10,
        train=48_000,
        heldout=10_000,
    ),
    _image("cifar10", "CIFAR-10 (Krizhevsky 2009)", (32, 32, 3), 10, train=40_000, heldout=10_000),
    _image(
        "cifar100", "CIFAR-100 (Krizhevsky 2009)", (32, 32, 3), 100, train=40_000, heldout=10_000
    ),
    _image("imagenet16", "ImageNet 2012, resized to 16x16", (16, 16, 3), 1000),
    _text("lm1b_bytes", _LM1B + _AS_BYTES, _BYTES),
    _text("lm1b_32k", _LM1B + _AS_PIECES, _PIECES),
    _text("wikipedia_bytes", _WIKIPEDIA + _AS_BYTES, _BYTES),
    _text("wikipedia_32k", _WIKIPEDIA + _AS_PIECES, _PIECES),
)


def _dataset(info: DatasetInfo) -> Dataset:
    def load(split: str) -> NoReturn:
        raise DataError(
            f"the {split!r} split of {info.name!r} is not here: it has to be prepared from "
            f"{info.origin}, and this version of velodrome cannot read prepared data yet. Specs "
            "on it can be sampled and costed; to train, use built-in data: "
            "`velodrome sample --data built-in`, or the data sets digits, mnist5k, photos, kjv."
        )

    return Dataset(info, load)


DATASETS = tuple(_dataset(info) for info in INFOS)
