"""A small table: 569 tumours by 30 measurements of their cells, inside scikit-learn."""

from __future__ import annotations

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.stored import package_file, stored_dataset
from velodrome.taskgen.data.tables import standardised

INFO = DatasetInfo(
    name="breast_cancer",
    kind="table",
    licence=(
        "scikit-learn is BSD-3-Clause; its file descr/breast_cancer.rst says the data are a copy "
        "of UCI ML Breast Cancer Wisconsin (Diagnostic), and states no licence for them"
    ),
    origin="Breast Cancer Wisconsin (Diagnostic) (Wolberg, Street, Mangasarian), in scikit-learn",
    provenance="built-in",
    shape=(30,),
    num_classes=2,
    dtype="float32",
    split_sizes={"train": 455, "heldout": 114},
    split_hashes={
        "train": "7b2bca1021c604e3848e8717bcb30311db0ccac76a2b8c455b71f9a74f42e279",
        "heldout": "cac4f73ec285ac34b1add0856ccd36613bc7f555b396420daa339140a2d73433",
    },
    class_names=("malignant", "benign"),
)


def build() -> dict[str, Arrays]:
    """Read the table; the last rows of the file are held out."""
    file = package_file("sklearn", "datasets/data/breast_cancer.csv", distribution="scikit-learn")
    rows = np.loadtxt(file, delimiter=",", skiprows=1)
    border = INFO.split_sizes["train"]
    train = np.arange(len(rows)) < border
    row = standardised(rows[:, :-1], train)
    label = rows[:, -1].astype(np.int32)
    return {
        name: {"row": row[part], "label": label[part]}
        for name, part in {"train": train, "heldout": ~train}.items()
    }


BREAST_CANCER = stored_dataset(INFO, build, distribution="scikit-learn", version="1.9.1")
