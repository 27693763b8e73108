"""Images as scanners of magnetic resonance measure them: in the frequencies of k-space.

A k-space is c[N,H,W] with the lowest frequency in the middle, at (H // 2, W // 2), of images whose
middle is in the middle too. Transforms keep the sum of squares.
"""

from __future__ import annotations

import numpy as np

from velodrome.taskgen.data.rawrandom import random_below

ACCELERATION = 4
CENTRE_PERCENT = 8
_PLANE = (1, 2)


def measured_columns(count: int, width: int, *path: str) -> np.ndarray:
    """Return b[count, width]: which columns of k-space are measured, as in the workload fastmri.

    The lowest frequency is in the middle. The middle 8% are measured, and each other column with
    such a probability that a quarter of all is, on average. ``path`` seeds the choice.
    """
    centre = width * CENTRE_PERCENT // 100
    others = ACCELERATION * (width - centre)
    drawn = random_below(others, count * width, *path).reshape(count, width)
    measured = drawn < width - ACCELERATION * centre
    first = (width - centre + 1) // 2
    measured[:, first : first + centre] = True
    return measured


def to_kspace(images: np.ndarray) -> np.ndarray:
    """Return the k-space of images [N,H,W]."""
    spectrum = np.fft.fft2(np.fft.ifftshift(images, axes=_PLANE), norm="ortho")
    return np.fft.fftshift(spectrum, axes=_PLANE)


def seen(kspace: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Return the magnitudes [N,H,W] of what is seen if only some columns b[N,W] are measured."""
    kept = np.where(measured[:, None, :], kspace, 0)
    images = np.fft.ifft2(np.fft.ifftshift(kept, axes=_PLANE), norm="ortho")
    return np.abs(np.fft.fftshift(images, axes=_PLANE))
