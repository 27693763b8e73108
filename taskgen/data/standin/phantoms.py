"""A large stand-in for fastMRI: slices of phantoms, measured as a scanner would.

A phantom is a body of ellipses that lie in one another, as those of Shepp and Logan (1974), but
drawn at random, with noise of many scales. Its slices are a volume: ellipses grow and shrink from
one to the next. They are measured as the photographs of the small stand-in are. Pixels are integers
before the Fourier transform, and rounded after it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.kspace import measured_columns, seen, to_kspace
from velodrome.taskgen.data.rawrandom import random_below
from velodrome.taskgen.data.standin import scans
from velodrome.taskgen.data.standin.images import noise
from velodrome.taskgen.data.stored import stored_dataset

SIZE = 320
SLICES = 8
"""Slices of a phantom."""
_PARTS = 14  # ellipses in a body
_BODY = 60  # grey levels of a body; parts add or take up to as many
_GRAIN = 6  # standard deviation of the noise, in grey levels

INFO = dataclasses.replace(
    scans.INFO,
    name="stand-in:fastmri_large",
    licence="none needed: generated",
    origin="generated ellipses in place of fastMRI's knees; no medical images",
    shape=(SIZE, SIZE),
    split_sizes={"train": 128, "heldout": 32},
    split_hashes={
        "train": "c69e993516a3d3c8dec4f708068e5bcdfdc67d56816798bf31d994783cc0dc16",
        "heldout": "42bd28dffad3bd92bb6813776493d9b0727ae5d5ad69bc5ef5fe1b332d4b04df",
    },
)


def build() -> dict[str, Arrays]:
    """Make both splits; masks of columns are as in `velodrome.taskgen.data.standin.scans`."""
    return make_phantoms(INFO.name, dict(INFO.split_sizes), SIZE)


def make_phantoms(name: str, sizes: dict[str, int], size: int) -> dict[str, Arrays]:
    """Make the splits: image and target i16[N,size,size], volume_max f32[N]."""
    grain = noise(2 * size, 1, _GRAIN, name, "grain")[..., 0]
    made = {}
    for split, count in sizes.items():
        kept = measured_columns(count if split == "train" else 1, size, name, split, "columns")
        kept = np.broadcast_to(kept, (count, size))
        parts: list[Arrays] = []
        for volume, first in enumerate(range(0, count, SLICES)):
            some = slice(first, min(first + SLICES, count))
            grey = _phantom(size, some.stop - first, grain, name, split, str(volume))
            image = seen(to_kspace(grey.astype(np.float64)), kept[some])
            largest = np.float32(scans.UNITS * int(grey.max()))
            parts.append(
                {
                    "image": np.rint(scans.UNITS * image).astype(np.int16),
                    "target": (scans.UNITS * grey).astype(np.int16),
                    "volume_max": np.full(len(grey), largest, np.float32),
                }
            )
        made[split] = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return made


def _phantom(size: int, slices: int, grain: np.ndarray, *path: str) -> np.ndarray:
    """Make slices i64[slices,size,size] of a phantom, from 0 to 255."""
    draws = random_below(1 << 16, 6 * (_PARTS + 1), *path, "ellipses").reshape(-1, 6)
    at = np.arange(size) - size // 2
    down, right = at[:, None], at[None, :]
    grey = np.zeros((slices, size, size), np.int64)
    for number, (*shape, level, growth) in enumerate(draws.tolist()):
        whole = number == 0  # the body, around all others
        first, second = (
            size * (30 if whole else 4) // 100 + size * (14 * part >> 16) // 100
            for part in shape[:2]
        )
        row, column = (0 if whole else size * ((36 * part >> 16) - 18) // 100 for part in shape[2:])
        tone = _BODY + 30 if whole else (2 * _BODY * level >> 16) - _BODY
        for slice_ in range(slices):
            # Axes change by up to 3% of themselves from a slice to the next.
            change = 100 + slice_ * ((7 * growth >> 16) - 3)
            a, b = first * change // 100, second * change // 100
            inside = ((down - row) * b) ** 2 + ((right - column) * a) ** 2 <= (a * b) ** 2
            grey[slice_] += tone * inside
    corner = random_below(len(grain) - size + 1, 2 * slices, *path, "corners").reshape(-1, 2)
    for slice_, (top, left) in enumerate(corner):
        grey[slice_] += grain[top : top + size, left : left + size] * (grey[slice_] > 0)
    return np.clip(grey, 0, 255)


STAND_IN_PHANTOMS = stored_dataset(INFO, build, distribution="numpy", version="2.4.6")
