"""Stand-in images: class prototypes, shifted, on backgrounds with a 1/f spectrum.

Pictures of the world have amplitudes that fall as one over the spatial frequency (Field 1987,
J. Opt. Soc. Am. A 4:2379), so every octave of frequencies has the same variance. Here that is a sum
of random values on grids of ever wider cells, each interpolated linearly. Everything is integer
arithmetic on raw words: a Fourier transform would not give the same bytes on all machines.
"""

from __future__ import annotations

import math

import numpy as np

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.rawrandom import random_below, random_bytes

JITTER = 3
"""A prototype moves by up to this number of pixels in each direction."""

_FIELD = 1024  # pixels: backgrounds are cut out of a field of this height and width
_BACKGROUND = 30  # standard deviation in grey levels, about

# Standard deviation of prototypes, by the largest number of classes: learnable in some hundred
# steps, and not in ten. More classes need more.
_PROTOTYPES = ((10, 10), (101, 18), (1000, 30))
_COLOUR = 2  # standard deviation of what the channels share, in that of what they do not share


def make_images(
    name: str, sizes: dict[str, int], *, shape: tuple[int, ...], classes: int, cell: int = 1
) -> dict[str, Arrays]:
    """Make the splits of a stand-in: ``{split: {"image": u8[N,H,W,C], "label": i32[N]}}``.

    Args:
      name: Name of the data set, which seeds all random choices.
      sizes: Number of images of each split.
      shape: Height and width, which are equal, and channels.
      classes: At most 1,000; they are equally frequent.
      cell: Prototypes are made of squares of this many pixels, and move by as many: prototypes of
        1,000 classes with 256x256 values each would take gigabytes. It divides the height.
    """
    side, _, channels = shape
    room = side // cell + 2 * JITTER
    across = math.isqrt(classes - 1) + 1
    strength = next(strength for most, strength in _PROTOTYPES if classes <= most)
    background = noise(_FIELD, channels, _BACKGROUND, name, "background")
    prototypes = noise(across * room, channels, strength, name, "prototypes")
    return {
        split: _split(count, side, cell, classes, background, prototypes, name, split)
        for split, count in sizes.items()
    }


def _split(
    count: int,
    side: int,
    cell: int,
    classes: int,
    background: np.ndarray,
    prototypes: np.ndarray,
    name: str,
    split: str,
) -> Arrays:
    room = side // cell + 2 * JITTER
    across = len(prototypes) // room
    label = random_below(classes, count, name, split, "label")
    down = label // across * room + random_below(2 * JITTER + 1, count, name, split, "down")
    right = label % across * room + random_below(2 * JITTER + 1, count, name, split, "right")
    corners = len(background) - side + 1
    top = random_below(corners, count, name, split, "top")
    left = random_below(corners, count, name, split, "left")
    behind, before = _windows(background, side), _windows(prototypes, side // cell)
    image = np.empty((count, side, side, background.shape[2]), np.uint8)
    together = max(1, 256 // cell**2)  # so that they take no more memory than small images
    for at in range(0, count, together):
        some = slice(at, at + together)
        prototype = before[down[some], right[some]]
        if cell > 1:
            prototype = prototype.repeat(cell, axis=2).repeat(cell, axis=3)
        mixed = behind[top[some], left[some]] + prototype + np.int16(128)
        image[some] = np.clip(mixed, 0, 255).transpose(0, 2, 3, 1)
    return {"image": image, "label": label.astype(np.int32)}


def _windows(field: np.ndarray, side: int) -> np.ndarray:
    """View i16[F,F,C] as its windows i16[F-side+1,F-side+1,C,side,side]."""
    return np.lib.stride_tricks.sliding_window_view(field, (side, side), axis=(0, 1))


def noise(side: int, channels: int, deviation: int, *path: str) -> np.ndarray:
    """Make noise i16[side,side,channels] with a 1/f spectrum, on scales of 1 to 32 pixels.

    Its mean is about 0, its standard deviation about ``deviation``; the channels are correlated,
    and ``path`` seeds the random choices.
    """
    shared = _grey(side, deviation * _COLOUR, *path, "shared")
    made = [shared]
    if channels > 1:
        made = [shared + _grey(side, deviation, *path, str(c)) for c in range(channels)]
    # The variances add up to (COLOUR^2 + 1) deviation^2 where there is colour.
    scale = math.isqrt((_COLOUR**2 + (channels > 1)) * 10_000)
    return np.stack([(part * 100) // scale for part in made], axis=-1).astype(np.int16)


def _grey(side: int, deviation: int, *path: str) -> np.ndarray:
    total = np.zeros((side, side), np.int32)
    cells = (1, 2, 4, 8, 16, 32)
    for cell in cells:
        total += _octave(side, cell, *path, f"octave {cell}")
    # Random bytes have the variance (256^2 - 1) / 12; interpolation leaves about (2/3)^2 of it.
    variance = (256**2 - 1) // 12 * len(cells) * 4 // 9
    return (total * deviation) // math.isqrt(variance)


def _octave(side: int, cell: int, *path: str) -> np.ndarray:
    """Make i32[side,side]: random bytes less 128 at every ``cell``-th pixel, linear between."""
    grid = -(-side // cell) + 1
    values = random_bytes(grid * grid, *path).astype(np.int32).reshape(grid, grid) - 128
    for axis in (0, 1):
        shape = [1, 1]
        shape[axis] = -1
        at = np.arange(side)
        weight = (at % cell).astype(np.int32).reshape(shape)
        low = values.take(at // cell, axis=axis)
        high = values.take(at // cell + 1, axis=axis)
        values = low * (cell - weight) + high * weight
    return values >> (2 * cell.bit_length() - 2)  # divided by cell^2, which is a power of two
