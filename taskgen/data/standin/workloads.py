"""Stand-ins for data of MLCommons workloads, large enough for a batch of each workload, and small.

Those for clicks and scans are in files of their own, because there are two of each.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import Dataset
from velodrome.taskgen.data.published.facts import WORKLOADS
from velodrome.taskgen.data.standin.catalog import stand_in_info
from velodrome.taskgen.data.standin.images import make_images
from velodrome.taskgen.data.standin.molecules import make_molecules
from velodrome.taskgen.data.standin.sentences import decode_sentence, make_sentences
from velodrome.taskgen.data.standin.utterances import decode_utterance, make_utterances
from velodrome.taskgen.data.stored import stored_dataset

_PUBLISHED = {info.name: info for info in WORKLOADS}
_IMAGES, _PAIRS, _GRAPHS, _SPEECH = (
    _PUBLISHED[name] for name in ("imagenet256", "wmt17_de_en", "ogbg_molpcba", "librispeech")
)
CELL = 4
"""Pixels of a cell of the prototypes of images."""


def images(sizes: Mapping[str, int]) -> dict[str, Arrays]:
    """Make photographs of nothing, 256x256x3."""
    shape, classes = _IMAGES.shape, _IMAGES.num_classes
    return make_images(_IMAGES.name, dict(sizes), shape=shape, classes=classes, cell=CELL)


def pairs(sizes: Mapping[str, int]) -> dict[str, Arrays]:
    """Make pairs of sentences."""
    return make_sentences(_PAIRS.name, dict(sizes), _PAIRS.vocab_size)


def graphs(sizes: Mapping[str, int]) -> dict[str, Arrays]:
    """Make molecules that do not exist."""
    return make_molecules(_GRAPHS.name, dict(sizes), _GRAPHS.num_classes)


def speech(sizes: Mapping[str, int]) -> dict[str, Arrays]:
    """Make recordings of tones."""
    return make_utterances(_SPEECH.name, dict(sizes), _SPEECH.vocab_size)


def _stand_in(
    name: str,
    make: Callable[[Mapping[str, int]], dict[str, Arrays]],
    sizes: Mapping[str, int],
    hashes: Mapping[str, str],
    decode: Callable[[Iterable[int]], str] | None = None,
) -> Dataset:
    info = stand_in_info(_PUBLISHED[name], sizes, hashes)
    build = functools.partial(make, sizes)
    return stored_dataset(info, build, distribution="numpy", version="2.4.6", decode=decode)


STAND_INS = (
    _stand_in(
        "imagenet256",
        images,
        {"train": 1_024, "heldout": 128},
        {
            "train": "f3a9e4b53093d220dc224a7d89d6e8f9ad41ca11fb79a92c1bcad22ddb9b12bf",
            "heldout": "2e90101a90c0070525b5f825e0f57bf35d5342e188fca3befe63d7ecd366c428",
        },
    ),
    _stand_in(
        "wmt17_de_en",
        pairs,
        {"train": 20_000, "heldout": 500},
        {
            "train": "b44c4453223bdb2f4a8c1d4e4abaa363fcc6b58d7b5aa7ae219cc459ae356f81",
            "heldout": "1dc3f5a7a52deb46c6f39237a9678a8b2d8a1cd69be7dd499ac1fa2700e71da4",
        },
        decode_sentence,
    ),
    _stand_in(
        "ogbg_molpcba",
        graphs,
        {"train": 4_000, "heldout": 600},
        {
            "train": "6ed27e69ee91d0d3fe4b44d7246fa3d031801ab6d46fbc5b8df9970cdde06e6e",
            "heldout": "2527a15cd8329cd82aff63d1455b203fb1a6b6cddb903588e266901855f3435c",
        },
    ),
    _stand_in(
        "librispeech",
        speech,
        {"train": 256, "heldout": 32},
        {
            "train": "cc896a6e0c90b71dbc532ac5009cfddfd524a5a28b9be294e90d2ad52713ea23",
            "heldout": "8dbe2fe786962fa2ccd0b4d1ed09c4a6cae4081f0edafefb74fef9ee3d3724c7",
        },
        functools.partial(decode_utterance, _SPEECH.vocab_size),
    ),
)
