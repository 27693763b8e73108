"""1,797 handwritten digits of 8x8 pixels, from inside scikit-learn."""

from __future__ import annotations

import gzip

import numpy as np

from velodrome.taskgen.data.info import Arrays, DatasetInfo
from velodrome.taskgen.data.packagefiles import package_file
from velodrome.taskgen.data.stored import stored_dataset

# The file is in the order of collection, so these come from writers that training hardly sees.
_HELDOUT = 512

INFO = DatasetInfo(
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


def build() -> dict[str, Arrays]:
    """Reads the digits; their values 0 to 16 become 0 to 255, rounded to the nearest."""
    file = package_file("sklearn", "datasets/data/digits.csv.gz", distribution="scikit-learn")
    with gzip.open(file, "rt", encoding="ascii") as lines:
        rows = np.loadtxt(lines, delimiter=",", dtype=np.int32)
    image = ((rows[:, :-1] * 255 + 8) // 16).astype(np.uint8).reshape(-1, 8, 8, 1)
    label = rows[:, -1]
    parts = {"train": slice(None, -_HELDOUT), "heldout": slice(-_HELDOUT, None)}
    return {name: {"image": image[at], "label": label[at]} for name, at in parts.items()}


DIGITS = stored_dataset(INFO, build, distribution="scikit-learn", version="1.9.1")
