"""How to obtain each published data set: its splits in TFDS, its original files, and the steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from velodrome.taskgen.data.info import DatasetInfo, kind_of
from velodrome.taskgen.data.published import sources
from velodrome.taskgen.data.published.sources import RawFile
from velodrome.taskgen.data.published.splits import Part

WORKLOAD = "workload"
"""The vocabulary of a workload of MLCommons, see `Recipe`."""


@dataclass(frozen=True)
class Recipe:
    """How to obtain a published data set.

    Attributes:
      tfds: Name of the builder in TFDS, with its config; empty where a TFDS folder is not read.
      parts: The part of a split of TFDS that each of our splits is.
      counts: Examples of the whole splits in TFDS, where these are fixed; volumes of scans;
        recordings before the long ones are left out.
      files: The original files, as published.
      layout: Which reader takes the original files: "idx", "cifar", "food101", "imagenet",
        "lm1b", "scans", "translations", "librispeech", "criteo", "molpcba", or "" where only a
        TFDS folder will do.
      cropped: Whether photographs are cropped in the middle, not squashed.
      vocabulary: Which SentencePiece model is needed: "t5", or "workload", one of MLCommons.
      by_hand: What the user must do, where nothing can be fetched without an account.
      prepared_bytes: About what prepared arrays take that the facts do not tell the size of: texts,
        recordings and graphs, whose lengths are not fixed, and rows whose number is not.
      class_counts: Images of each class in the whole splits, where these are published.
    """

    tfds: str = ""
    parts: Mapping[str, Part] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    files: tuple[RawFile, ...] = ()
    layout: str = ""
    cropped: bool = False
    vocabulary: str = ""
    by_hand: str = ""
    prepared_bytes: int = 0
    class_counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


_IMAGES = {"train": Part("train", 0, 80), "heldout": Part("test")}
_VALIDATED = {"train": Part("train", 0, 80), "heldout": Part("validation")}
_MNIST_COUNTS = {"train": 60_000, "test": 10_000}
_MNIST_CLASSES = {
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}
_CIFAR_COUNTS = {"train": 50_000, "test": 10_000}


def _even(counts: Mapping[str, int], classes: int) -> Mapping[str, tuple[int, ...]]:
    """Return the images of each class where all classes have the same number."""
    return {split: (count // classes,) * classes for split, count in counts.items()}


_MNIST = partial(Recipe, parts=_IMAGES, counts=_MNIST_COUNTS, layout="idx")
_CIFAR = partial(Recipe, parts=_IMAGES, counts=_CIFAR_COUNTS, layout="cifar")
_IMAGENET = Recipe(
    "imagenet2012",
    _VALIDATED,
    {"train": 1_281_167, "validation": 50_000},
    layout="imagenet",
    by_hand=(
        "register at image-net.org, unpack ILSVRC2012 into train/WNID/*.JPEG and val/WNID/*.JPEG "
        "(docs/how-to/prepare-data.md has the commands), and give that folder, or a TFDS data_dir "
        "with imagenet2012, with --from"
    ),
)
_LM1B = Recipe(
    "lm1b",
    {"train": Part("train", 2, 100), "heldout": Part("test")},
    {"train": 30_301_028, "test": 306_688},
    sources.LM1B,
    "lm1b",
    prepared_bytes=4_000_000_000,
)
_WIKIPEDIA = Recipe(
    "wikipedia/20201201.en",
    {"train": Part("train", 3, 100), "heldout": Part("train", 2, 3)},
    by_hand=(
        "prepare wikipedia/20201201.en with tensorflow-datasets elsewhere, and "
        "give its data_dir with --from"
    ),
    prepared_bytes=5_000_000_000,
)

RECIPES: Mapping[str, Recipe] = {
    "mnist": _MNIST("mnist", files=sources.MNIST, class_counts=_MNIST_CLASSES),
    "fashion_mnist": _MNIST(
        "fashion_mnist", files=sources.FASHION_MNIST, class_counts=_even(_MNIST_COUNTS, 10)
    ),
    "cifar10": _CIFAR("cifar10", files=sources.CIFAR10, class_counts=_even(_CIFAR_COUNTS, 10)),
    "cifar100": _CIFAR("cifar100", files=sources.CIFAR100, class_counts=_even(_CIFAR_COUNTS, 100)),
    "food101_64": Recipe(
        "food101", _VALIDATED, {"train": 75_750, "validation": 25_250}, sources.FOOD101, "food101"
    ),
    **{f"imagenet{size}": _IMAGENET for size in (16, 32, 64)},
    "lm1b_bytes": _LM1B,
    "lm1b_32k": replace(_LM1B, vocabulary="t5", prepared_bytes=2_000_000_000),
    "wikipedia_bytes": _WIKIPEDIA,
    "wikipedia_32k": replace(_WIKIPEDIA, vocabulary="t5"),
    "imagenet256": replace(
        _IMAGENET, parts={"train": Part("train"), "heldout": Part("validation")}, cropped=True
    ),
    "criteo1tb": Recipe(
        layout="criteo",
        by_hand=(
            "fetch the Click Logs from Criteo, 342 GB, unpack each day to 1.1 TB in all, cut "
            "them into pieces (split -l 5000000 -d -a 2 day_0 day_0_), and give the folder "
            "of all pieces with --from"
        ),
        # 160 bytes for each of 4,195,197,692 and 83,274,637 rows.
        prepared_bytes=685_000_000_000,
    ),
    "ogbg_molpcba": Recipe(
        "ogbg_molpcba",
        {"train": Part("train"), "heldout": Part("validation")},
        {"train": 350_343, "validation": 43_793},
        layout="molpcba",
        by_hand=(
            "fetch pcba.zip, 39.5 MB, from the Open Graph Benchmark, and give its folder, or a "
            "TFDS data_dir with ogbg_molpcba, with --from"
        ),
        # 26.0 atoms and twice 28.1 bonds on average, and 128 answers, which are known or not.
        prepared_bytes=1_200_000_000,
    ),
    "fastmri": Recipe(
        counts={"singlecoil_train": 973, "singlecoil_val": 199},
        layout="scans",
        by_hand=(
            "register at fastmri.med.nyu.edu, unpack the single-coil knees into singlecoil_train "
            "and singlecoil_val, and give the folder that these are in with --from"
        ),
    ),
    "wmt17_de_en": Recipe(
        "wmt17_translate/de-en",
        {
            "train": Part("train"),
            "heldout": Part("validation", builder="wmt14_translate/de-en"),
        },
        {"train": 5_906_184, "validation": 3_000},
        layout="translations",
        vocabulary=WORKLOAD,
        by_hand=(
            "fetch the Parquet files of de-en of WMT 2017 (train) and of WMT 2014 (validation) "
            "into folders named wmt17 and wmt14, and give the folder that these are in, or a TFDS "
            "data_dir with wmt17_translate and wmt14_translate, with --from"
        ),
        prepared_bytes=800_000_000,
    ),
    "librispeech": Recipe(
        counts={"train": 281_241, "heldout": 5_567},
        layout="librispeech",
        vocabulary=WORKLOAD,
        by_hand=(
            "fetch train-clean-100, train-clean-360, train-other-500, dev-clean and dev-other from "
            "openslr.org/12, unpack them, and give the folder that these are in with --from"
        ),
        prepared_bytes=105_000_000_000,
    ),
}
"""By the name of the data set."""


def how_to_get(name: str) -> str:
    """Return the command that prepares a published data set; "" for any other data set."""
    recipe = RECIPES.get(name)
    if recipe is None:
        return ""
    words = f"velodrome data prepare {name} " + ("--download" if recipe.files else "--from DIR")
    return words + (" --vocabulary FILE" if recipe.vocabulary else "")


def about_bytes(info: DatasetInfo) -> int:
    """Return about what the arrays of a data set take, prepared or not; 0 if it is not known."""
    if known := kind_of(info.kind).stored(info):
        return known
    return RECIPES[info.name].prepared_bytes if info.name in RECIPES else 0
