"""Crops of 32x32 pixels of photographs inside scikit-image; the label is the photograph.

Only PNG files are used: they decode to the same pixels everywhere, JPEG files may not.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.order import permutation
from velodrome.taskgen.data.stored import package_file, stored_dataset

# Files of skimage/data. Left out are drawings, scans, a phase image that is nearly all background,
# the second view of the motorcycle, and files that skimage would have to download.
PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "clock_motion",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "ihc",
    "moon",
    "motorcycle_left",
    "text",
)
CROP = 32
GAP = 16  # columns between the training part and the held-out part that belong to neither
CROPS = {"train": 1000, "heldout": 200}  # of each photograph

INFO = DatasetInfo(
    name="photos",
    kind="image",
    licence=(
        "scikit-image is BSD-3-Clause; for most of the photographs its skimage/data/_fetchers.py "
        "states CC0, the public domain or no known restrictions: docs/reference/built-in-data.md"
    ),
    origin="photographs in scikit-image, cut into crops",
    provenance="built-in",
    shape=(CROP, CROP, 3),
    num_classes=len(PHOTOGRAPHS),
    split_sizes={name: count * len(PHOTOGRAPHS) for name, count in CROPS.items()},
    split_hashes={
        "train": "0b4f03f243e1bc8d03a202c162a7052aa800c23876513b9be27334e0bb9f6aae",
        "heldout": "e7dbc0cd57cde74876288de88861fffa5367e70221f22a44f02ae9f707cb96d9",
    },
    class_names=PHOTOGRAPHS,
)


def corners(
    height: int,
    width: int,
    split: str,
    photograph: int,
    *,
    crop: int = CROP,
    counts: Mapping[str, int] = CROPS,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns i32[n] of the top-left pixels of a photograph's crops.

    No pair is repeated. The right quarter of a photograph is held out, and a gap keeps the parts
    from touching. The number of the photograph seeds the choice.
    """
    first, stop = columns_of(width, split)
    across = stop - first - crop + 1
    choices = (height - crop + 1) * across
    chosen = permutation(choices, seed=photograph, stream=list(CROPS).index(split))[: counts[split]]
    return chosen // across, first + chosen % across


def columns_of(width: int, split: str) -> tuple[int, int]:
    """Return the first column of a photograph that belongs to a split, and the first after them."""
    border = width - width // 4
    return (0, border - GAP) if split == "train" else (border, width)


def build() -> dict[str, Arrays]:
    """Read the photographs and cut the crops."""
    images: dict[str, list[np.ndarray]] = {split: [] for split in CROPS}
    for number, name in enumerate(PHOTOGRAPHS):
        picture = read_photograph(name)
        windows = np.lib.stride_tricks.sliding_window_view(picture, (CROP, CROP), axis=(0, 1))
        for split, crops in images.items():
            at = corners(picture.shape[0], picture.shape[1], split, number)
            crops.append(windows[at].transpose(0, 2, 3, 1))
    labels = np.arange(len(PHOTOGRAPHS), dtype=np.int32)
    return {
        split: {"image": np.concatenate(crops), "label": np.repeat(labels, CROPS[split])}
        for split, crops in images.items()
    }


def read_photograph(name: str) -> np.ndarray:
    """Read a photograph; a grey one gets three equal channels."""
    from PIL import Image  # noqa: PLC0415 - registering a data set needs no decoder

    file = package_file("skimage", f"data/{name}.png", distribution="scikit-image")
    with Image.open(file) as picture:
        pixels = np.asarray(picture)
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels


PHOTOS = stored_dataset(INFO, build, distribution="scikit-image", version="0.26.0")
