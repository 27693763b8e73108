"""Stripes, as wide as the label; generated."""

from __future__ import annotations

import numpy as np

import velodrome

SIZES = {"train": 512, "heldout": 128}


def load(split):
    """Return the arrays of a split."""
    first = 0 if split == "train" else SIZES["train"]
    number = np.arange(first, first + SIZES[split])
    label = number % 4
    column = np.arange(12)
    stripe = (column[None, :] + number[:, None]) // (label[:, None] + 1) % 2
    image = np.repeat(255 * stripe[:, None, :, None], 12, axis=1).astype(np.uint8)
    arrays = {"image": image, "label": label.astype(np.int32)}
    if velodrome.hash_arrays(arrays) != dataset.info.split_hashes[split]:
        raise velodrome.DataError(f"stripes: the arrays of {split} are not those recorded.")
    return arrays


dataset = velodrome.Dataset(
    velodrome.DatasetInfo(
        name="stripes",
        kind="image",
        shape=(12, 12, 1),
        num_classes=4,
        provenance="stand-in",
        origin="generated: stripes as wide as the label",
        licence="none needed",
        split_sizes=SIZES,
        split_hashes={
            "train": "0cd50e3561afa724c4ed840d90253b35477b2240759c0acf629925067f372e60",
            "heldout": "13b5b466470020b2bdefc58772007da77cf717f75c92e5806f46369145d42886",
        },
    ),
    load,
)
