"""Which stand-ins there are, how large they are, and the content hashes of their arrays.

They have the shapes, types, classes and vocabulary of the published data, other content, and
smaller sizes. They are used only where a task names them (``stand-in:mnist``) or where the user
asks for them (``velodrome run --data stand-in``), and results on them say so.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import Dataset, DatasetInfo
from velodrome.taskgen.data.published.facts import BYTES, EXAMPLE_TOKENS, INFOS
from velodrome.taskgen.data.standin.images import make_images
from velodrome.taskgen.data.standin.text import make_text
from velodrome.taskgen.data.stored import stored_dataset

PREFIX = "stand-in:"
LARGE = "_large"
"""Ends the name of a second stand-in, for tasks that the first is too small for."""

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

#: By published data set. Results on other bytes are other results.
_HASHES = {
    "mnist": {
        "train": "973dd2f7aef83422012abe967c8b9f27cccc1c77a232dd59011b61b69067f111",
        "heldout": "cb5f6c75713ae2168182f4a7b338491f71fd70dca4574cc9de622d959d4a8715",
    },
    "fashion_mnist": {
        "train": "ca975415d3b6b8df77ce37bcc890d432ffec1a4b1094b60770609f146179d2fb",
        "heldout": "fff351c489428509bc313ca6c77f2fe49c44c24ca3cf4c59607e4b3eb69a4e10",
    },
    "cifar10": {
        "train": "570d596023a90c462c6c91ddc76fdce6a05bc5882ec3c9d25453eaf581d57212",
        "heldout": "909eeca98da39d40a272c274f9c05ff8c121c258b529d289a43da55b178e6fbc",
    },
    "cifar100": {
        "train": "97bf7ca71912551ef8f3a871325e3f48fae2128ae53261ab609503c443f83129",
        "heldout": "61aeb8e0c883180af3e320c45fd74aecf0ba4ae6a4d7b6bce798c293df575cd6",
    },
    "food101_64": {
        "train": "9f66c4724471097631bf5999332a1cab2cce95b4d18fee1b3a9845f88c571ed2",
        "heldout": "ebc718a11e3d824fee753fd4f604b729a1e1a2e1e660b04df4909c025d6ec204",
    },
    "imagenet16": {
        "train": "9edd57e466657918678bb252698eccc0bdec54c63041b9de451224280ef2b3e7",
        "heldout": "1f9960c1ca2349b8fd62a7553065922222b34d04a9db2bc9f23690e21480c08c",
    },
    "imagenet32": {
        "train": "128ed90f02b4b44f9e71255b0a1bb5003bed5da29521fb07f3a5e85bde292032",
        "heldout": "96028a933a869685ae0bba886fa580dd56aa55eb855c56906d7b48a8e7a34b1c",
    },
    "imagenet64": {
        "train": "527811d121c54f8ce8b1df762dd87bc2b036cf2f7b70b83f575d8bc305d92814",
        "heldout": "e01817c5024bd8e76d763f162fe1fc48d69e99225bee6299e2fa84215453a80f",
    },
    "lm1b_bytes": {
        "train": "75dbcef1132dbb535319f5ae079587a23f15e82576cf2e6382da958c35a832d8",
        "heldout": "273badfe3cf78dd9c2539fcdff0f5982c764f98cd97935ca44bca88cd19c1090",
    },
    "lm1b_32k": {
        "train": "4d018bcd9f7da380599f50e05714be5bdecedd99d8e4873eccf72b9cfc826653",
        "heldout": "2ee7a80024adce0581355795d45d001734b745d46034c590ef8737d4db8d7a5d",
    },
    "wikipedia_bytes": {
        "train": "a99a00659655b543feca539c9ac2f3f3bcac7bc4fbc2bcbeba51bccd5dd3f652",
        "heldout": "9fef9b9078eabbc6ffc980a2bc9453932a435dd05ba1a1ab01baf64a71d4539c",
    },
    "wikipedia_32k": {
        "train": "7835588e260e3e65a8a373882b625efa6ed38963931774ec9e6c01f3d3395daf",
        "heldout": "549c6c5e22f4569d1de859d7f7263d086a93e5c284d34ef8851e84a2f8eab3dc",
    },
}


def stand_in_name(name: str) -> str:
    """Return the name of the stand-in of a published data set."""
    return PREFIX + name


def build(info: DatasetInfo) -> dict[str, Arrays]:
    """Make the splits of the stand-in of the published data set ``info``."""
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


def stand_in_info(
    published: DatasetInfo, sizes: Mapping[str, int], hashes: Mapping[str, str]
) -> DatasetInfo:
    """Return the facts of a stand-in that is generated in place of ``published``."""
    return dataclasses.replace(
        published,
        name=stand_in_name(published.name),
        licence="none needed: generated",
        origin=f"generated in place of {published.name}; not real data",
        provenance="stand-in",
        split_sizes=sizes,
        split_hashes=hashes,
    )


def _stand_in(published: DatasetInfo) -> Dataset:
    info = stand_in_info(published, _sizes(published), _HASHES[published.name])
    make = functools.partial(build, published)
    return stored_dataset(info, make, distribution="numpy", version="2.4.6")


STAND_INS = tuple(map(_stand_in, INFOS))
