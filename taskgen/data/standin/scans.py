"""A stand-in for fastMRI: photographs, measured as a scanner would, with most of it left out.

The photographs are real, and so is what happens to them; but they are no knees. A crop is turned
into its two-dimensional Fourier transform. Of its columns, the lowest frequencies are kept, and of
the others a random few; the rest is set to zero. What is seen is the magnitude of the inverse
transform. Of fastMRI's steps, only the crop after it is missing, because the image has no margin.
"""

from __future__ import annotations

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.builtin.photos import (
    PHOTOGRAPHS,
    columns_of,
    corners,
    read_photograph,
)
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.kspace import measured_columns, seen, to_kspace
from velodrome.taskgen.data.stored import stored_dataset

SIZE = 64
SLICES = {"train": 200, "heldout": 30}  # of each photograph
UNITS = 16
"""Pixels are in sixteenths of a grey level, rounded: so that sums of floats in another order, on
another machine, give the same integers."""

INFO = DatasetInfo(
    name="stand-in:fastmri",
    kind="reconstruction",
    licence="as of the built-in data set photos, which it is made of",
    origin="made of photographs in scikit-image in place of fastMRI's knees; no medical images",
    provenance="stand-in",
    shape=(SIZE, SIZE),
    dtype="int16",
    split_sizes={split: count * len(PHOTOGRAPHS) for split, count in SLICES.items()},
    split_hashes={
        "train": "da8867a18db460dd32d186427b54c1234f4140f967337258ca3059fced5db409",
        "heldout": "c161c849b8674517fd13bc9f4164647bb56f867a88ce436e886d1dd20092b706",
    },
)


def build() -> dict[str, Arrays]:
    """Cut the crops, and measure them.

    As in the workload, each training image has columns of its own, the same in every epoch, and all
    that are held out share theirs. A volume is a split's part of a photograph.
    """
    parts: dict[str, list[Arrays]] = {split: [] for split in SLICES}
    for number, name in enumerate(PHOTOGRAPHS):
        grey = _grey(read_photograph(name))
        height, width = grey.shape
        windows = np.lib.stride_tricks.sliding_window_view(grey, (SIZE, SIZE))
        for split, count in SLICES.items():
            at = corners(height, width, split, number, crop=SIZE, counts=SLICES)
            crops = windows[at].astype(np.float64)
            if split == "train":
                kept = measured_columns(count, SIZE, INFO.name, name)
            else:
                kept = np.repeat(measured_columns(1, SIZE, INFO.name, split), count, axis=0)
            first, stop = columns_of(width, split)
            largest = np.float32(UNITS * int(grey[:, first:stop].max()))
            parts[split].append(
                {
                    "image": np.rint(UNITS * seen(to_kspace(crops), kept)).astype(np.int16),
                    "target": (UNITS * crops).astype(np.int16),
                    "volume_max": np.full(count, largest, np.float32),
                }
            )
    return {
        split: {name: np.concatenate([part[name] for part in found]) for name in INFO.array_names}
        for split, found in parts.items()
    }


def _grey(pixels: np.ndarray) -> np.ndarray:
    """Return the luminance u8[H,W] of colours u8[H,W,3], in integers."""
    red, green, blue = np.moveaxis(pixels.astype(np.int64), -1, 0)
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).astype(np.uint8)


STAND_IN_SCANS = stored_dataset(INFO, build, distribution="scikit-image", version="0.26.0")
