"""Facts about the published data sets: enough to sample specs on them and to cost these.

The splits are those of Metz et al. 2022 (arXiv 2211.09760) as google/learned_optimization defines
them on the builders of tensorflow-datasets (TFDS): images train on the first 80% of the training
split, lm1b on its last 98%, Wikipedia on its last 97%; held out is the test split (food101 and
ImageNet: the validation split; Wikipedia, which has none: the examples from 2% to 3%). Sizes that
depend on how the data are prepared are left out; a prepared data set records its own.
"""

from __future__ import annotations

from velodrome.taskgen.data.info import DatasetInfo

BYTES = 259
"""Vocabulary of text as bytes: 256, after the ids for padding, end and unknown."""

PIECES = 32_100
"""Vocabulary of T5: 32,000 SentencePiece tokens and 100 extra ids."""

EXAMPLE_TOKENS = 1025
"""Tokens kept of each text: enough for sequences of 1,024; the published tasks take up to 128, and
the sampled ones up to 512."""

_EIGHTY_PERCENT = {"train": 48_000, "heldout": 10_000}


def _image(
    name: str,
    origin: str,
    shape: tuple[int, int, int],
    num_classes: int,
    licence: str,
    split_sizes: dict[str, int],
    *,
    dtype: str = "uint8",
) -> DatasetInfo:
    return DatasetInfo(
        name,
        "image",
        licence,
        origin,
        "real",
        shape=shape,
        num_classes=num_classes,
        dtype=dtype,
        split_sizes=split_sizes,
    )


def _text(name: str, origin: str, vocab_size: int, licence: str) -> DatasetInfo:
    return DatasetInfo(
        name,
        "text",
        licence,
        origin,
        "real",
        vocab_size=vocab_size,
        layout="examples",
        example_tokens=EXAMPLE_TOKENS,
    )


_CIFAR = {"train": 40_000, "heldout": 10_000}
# 80% of the 1,281,167 training images. The original was prepared in private, and its percentages
# are not published.
_IMAGENET = {"train": 1_024_934, "heldout": 50_000}
_LM1B = "One Billion Word Benchmark (Chelba et al. 2013), "
_WIKIPEDIA = "English Wikipedia of 2020-12-01, opening of each article, "
_AS_BYTES = "as bytes: id = byte + 3"
_AS_PIECES = "as T5's 32,000 SentencePiece tokens"

_NO_LICENCE = "none stated by the authors"
_IMAGENET_LICENCE = "image-net.org: for non-commercial research and education, after registration"
_LM1B_LICENCE = "none stated by the authors for the text, which is news of the WMT 2011 task"
_WIKIPEDIA_LICENCE = "CC BY-SA 3.0 and GFDL (Wikipedia)"

INFOS = (
    _image("mnist", "MNIST (LeCun et al.)", (28, 28, 1), 10, _NO_LICENCE, _EIGHTY_PERCENT),
    _image(
        "fashion_mnist",
        "Fashion-MNIST (Xiao et al. 2017)",
        (28, 28, 1),
        10,
        "MIT (Zalando)",
        _EIGHTY_PERCENT,
    ),
    _image("cifar10", "CIFAR-10 (Krizhevsky 2009)", (32, 32, 3), 10, _NO_LICENCE, _CIFAR),
    _image("cifar100", "CIFAR-100 (Krizhevsky 2009)", (32, 32, 3), 100, _NO_LICENCE, _CIFAR),
    _image(
        "food101_64",
        "Food-101 (Bossard et al. 2014), resized to 64x64",
        (64, 64, 3),
        101,
        "none of its own: photographs of foodspotting.com, for scientific fair use",
        {"train": 60_600, "heldout": 25_250},
        dtype="float32",  # resized from all sizes, before scaling, and not rounded
    ),
    *(
        _image(
            f"imagenet{size}",
            f"ImageNet 2012, resized to {size}x{size}",
            (size, size, 3),
            1000,
            _IMAGENET_LICENCE,
            _IMAGENET,
        )
        for size in (16, 32, 64)
    ),
    _text("lm1b_bytes", _LM1B + _AS_BYTES, BYTES, _LM1B_LICENCE),
    _text("lm1b_32k", _LM1B + _AS_PIECES, PIECES, _LM1B_LICENCE),
    _text("wikipedia_bytes", _WIKIPEDIA + _AS_BYTES, BYTES, _WIKIPEDIA_LICENCE),
    _text("wikipedia_32k", _WIKIPEDIA + _AS_PIECES, PIECES, _WIKIPEDIA_LICENCE),
)

CRITEO_VOCABULARIES = (
    39884406, 39043, 17289, 7420, 20263, 3, 7120, 1543, 63, 38532951, 2953546, 403346, 10, 2208,
    11938, 155, 4, 976, 14, 39979771, 25641295, 39664984, 585935, 12972, 108, 36,
)  # fmt: skip
"""Hashes of each column of Criteo's logs, as the workload of MLCommons has them."""

WORKLOADS = (
    _image(
        "imagenet256",
        "ImageNet 2012, the middle square resized to 256x256",
        (256, 256, 3),
        1000,
        _IMAGENET_LICENCE,
        {"train": 1_281_167, "heldout": 50_000},
    ),
    DatasetInfo(
        "criteo1tb",
        "hashed_table",
        "CC BY-NC-SA 4.0, as the publisher's page says now",
        "Criteo 1TB Click Logs, hashed as in MLCommons AlgoPerf",
        "real",
        shape=(13, 26),
        num_classes=2,
        vocab_size=max(CRITEO_VOCABULARIES),
        dtype="float32",
    ),
    DatasetInfo(
        "ogbg_molpcba",
        "graph",
        "MIT (OGB)",
        "ogbg-molpcba (Hu et al. 2020), molecules of PubChem's assays, split by scaffold",
        "real",
        shape=(9, 3),
        num_classes=128,
        dtype="float32",
        split_sizes={"train": 350_343, "heldout": 43_793},
    ),
    DatasetInfo(
        "fastmri",
        "reconstruction",
        "NYU Langone: for research, after registration and an agreement; not to be passed on",
        "fastMRI (Zbontar et al. 2018): knees, single coil; columns of k-space are left out",
        "real",
        shape=(320, 320),
        dtype="float32",
        split_sizes={"train": 34_742, "heldout": 3_554},
    ),
    DatasetInfo(
        "wmt17_de_en",
        "pair",
        "none for the whole: Europarl, Common Crawl, News Commentary and Rapid have their own",
        "WMT 2017, German to English; held out: newstest2013",
        "real",
        vocab_size=32_000,
        split_sizes={"train": 5_906_184, "heldout": 3_000},
    ),
    DatasetInfo(
        "librispeech",
        "audio",
        "CC BY 4.0 (openslr.org/12)",
        "LibriSpeech (Panayotov et al. 2015), 960 hours; held out: dev-clean and dev-other",
        "real",
        vocab_size=1_024,
        dtype="int16",
    ),
)
"""Data of MLCommons workloads; see `velodrome.taskgen.data.published.readers`."""
