"""Images as they were measured badly, each with the image as it should be: scans of fastMRI."""

from __future__ import annotations

import math

import numpy as np

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo, Kind
from velodrome.taskgen.data.kinds.checks import SplitError, check_count, first_bad
from velodrome.taskgen.data.splitview import SplitView
from velodrome.taskgen.data.variation import Variation
from velodrome.taskgen.views import ReconstructionView

CLIP = 6.0
"""Normalised pixels are cut at this many standard deviations."""


class Reconstructions(Kind[ReconstructionView]):
    """Arrays: image and target [N,H,W], not negative, and volume_max f32[N].

    They are in any unit. ``volume_max`` is the largest value of the volume that a slice is from.
    """

    facts = "a shape (height, width), and dtype 'float32' or 'int16'"
    noun = "images to be reconstructed"

    def fits(self, info: DatasetInfo) -> bool:
        return len(info.shape) == 2 and info.dtype in ("float32", "int16")

    def arrays(self, info: DatasetInfo) -> tuple[str, ...]:
        return ("image", "target", "volume_max")

    def unit(self, info: DatasetInfo) -> str:
        return "images"

    def describe(self, info: DatasetInfo) -> str:
        return f"images of {'x'.join(map(str, info.shape))}, {info.dtype}, to be reconstructed"

    def verify(self, info: DatasetInfo, arrays: Arrays) -> int:
        count = len(arrays["image"])
        for name in ("image", "target"):
            array = arrays[name]
            if array.dtype != info.dtype or array.shape[1:] != info.shape:
                declared = f"{info.dtype}[N, {', '.join(map(str, info.shape))}]"
                found = f"{array.dtype}{list(array.shape)}"
                raise SplitError(f"has the {name} {found}, but {declared} is declared")
            at = first_bad(array, lambda part: (part >= 0) & np.isfinite(part))
            if at is not None:
                raise SplitError(f"has a pixel that is negative or not finite in {name} {at}")
            check_count("images", count, f"of {name}", len(array))
        volume_max = arrays["volume_max"]
        if volume_max.dtype != np.float32 or volume_max.shape != (count,):
            found = f"{volume_max.dtype}{list(volume_max.shape)}"
            raise SplitError(f"has volume_max {found}, but float32[{count}] is needed")
        at = first_bad(volume_max, lambda part: (part > 0) & np.isfinite(part))
        if at is not None:
            raise SplitError(f"has volume_max {volume_max[at]} at {at}, which is not positive")
        return count

    def view(self, config: object, info: DatasetInfo) -> ReconstructionView:
        return ReconstructionView(getattr(config, "image_size", min(info.shape)))

    def holds(self, info: DatasetInfo, view: ReconstructionView) -> bool:
        return view.size <= min(info.shape)

    def see(
        self,
        raw: Arrays,
        info: DatasetInfo,
        view: ReconstructionView,
        what: str,
        split: str,
        variation: Variation,
    ) -> SplitView:
        if not self.holds(info, view):
            wanted = f"at most {min(info.shape)}, the size of {info.name!r}"
            raise SpecError("config.image_size", view.size, wanted)
        top, left = ((side - view.size) // 2 for side in info.shape)
        centre = np.s_[:, top : top + view.size, left : left + view.size]

        def rows(indices: np.ndarray | slice) -> Arrays:
            image, target = (
                raw[name][indices][centre].astype(np.float32) for name in ("image", "target")
            )
            mean = image.mean((1, 2), np.float64).astype(np.float32)
            std = image.std((1, 2), np.float64).astype(np.float32)
            return {
                "image": _normalize(image, mean, std),
                "target": _normalize(target, mean, std),
                "mean": mean,
                "std": std,
                "volume_max": raw["volume_max"][indices],
            }

        count = len(raw["image"])
        return SplitView(
            size=count,
            nbytes=count * _bytes(view),
            facts={"layout": "reconstruction", "size": view.size},
            key=("reconstruction", view.size),
            whole=lambda: rows(slice(None)),
            rows=rows,
        )

    def stored(self, info: DatasetInfo) -> int:
        pixels = math.prod(info.shape) * np.dtype(info.dtype).itemsize
        return sum(info.split_sizes.values()) * 2 * pixels

    def nbytes(self, info: DatasetInfo, view: ReconstructionView, variation: Variation) -> int:
        return sum(info.split_sizes.values()) * _bytes(view)


def _bytes(view: ReconstructionView) -> int:
    return 4 * (2 * view.size**2 + 3)


def _normalize(pixels: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return f32[N,H,W] in standard deviations; an image of one value becomes zeros."""
    divisor = np.where(std > 0, std, np.float32(1))[:, None, None]
    return np.clip((pixels - mean[:, None, None]) / divisor, -CLIP, CLIP)
