"""Images with a label each."""

from __future__ import annotations

import functools
import math

import numpy as np

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.images import prepare_images, stays_bytes
from velodrome.taskgen.data.info import DatasetInfo, Kind
from velodrome.taskgen.data.kinds.checks import SplitError, check_count, check_integers, first_bad
from velodrome.taskgen.data.splitview import SplitView
from velodrome.taskgen.data.variation import Variation
from velodrome.taskgen.views import ImageView


class Images(Kind[ImageView]):
    facts = "a shape (height, width, channels) and num_classes"
    noun = "images"
    gather = "velodrome.taskgen.data.gather:gather_images"
    varied = True

    def fits(self, info: DatasetInfo) -> bool:
        return len(info.shape) == 3 and info.num_classes > 0 and info.dtype in ("uint8", "float32")

    def arrays(self, info: DatasetInfo) -> tuple[str, ...]:
        return ("image", "label")

    def unit(self, info: DatasetInfo) -> str:
        return "images"

    def describe(self, info: DatasetInfo) -> str:
        return f"images of {'x'.join(map(str, info.shape))}, {info.dtype}"

    def verify(self, info: DatasetInfo, arrays: Arrays) -> int:
        image, label = arrays["image"], arrays["label"]
        if image.ndim != 4 or image.shape[1:] != info.shape:
            shapes = f"{list(image.shape[1:])}, but {list(info.shape)} is declared"
            raise SplitError(f"has images of the shape {shapes}")
        if image.dtype != info.dtype:
            raise SplitError(f"has images of {image.dtype}, but {info.dtype} is declared")
        check_integers("labels", label, info.num_classes)
        check_count("images", len(image), "labels", len(label))
        if image.dtype.kind == "f":
            # NaN is not inside either: every comparison with it is false.
            at = first_bad(image, lambda part: (part >= 0) & (part <= 255))
            if at is not None:
                pixels = image[at].reshape(-1)
                worst = pixels[~((pixels >= 0) & (pixels <= 255))][0]
                raise SplitError(f"has the pixel {worst} in example {at}; pixels are from 0 to 255")
        return len(image)

    def check_seen(self, info: DatasetInfo, view: ImageView, variation: Variation) -> None:
        if variation.randaugment and view.channels not in (1, 3):
            images = f"{info.name!r} has images of {view.channels} channels, not 1 or 3"
            allowed = f"left out, because {images}"
            raise SpecError("data.randaugment", variation.randaugment, allowed)

    def view(self, config: object, info: DatasetInfo) -> ImageView:
        height, _, channels = info.shape
        return ImageView(getattr(config, "image_size", height), channels, info.num_classes)

    def see(
        self,
        raw: Arrays,
        info: DatasetInfo,
        view: ImageView,
        what: str,
        split: str,
        variation: Variation,
    ) -> SplitView:
        size, shift = _kept(info, view, variation), variation.shift
        options = {"size": size, "channels": view.channels, "shift": shift}
        prepare = functools.partial(prepare_images, **options)
        image, label = raw["image"], raw["label"]
        prepare({"image": image[:0], "label": label[:0]})  # refuses impossible channels now

        def rows(indices: np.ndarray) -> Arrays:
            # Read in the order of the file: neighbours lie in one page.
            order = np.argsort(indices, kind="stable")
            found = prepare({"image": image[indices[order]], "label": label[indices[order]]})
            back = np.argsort(order, kind="stable")
            return {name: array[back] for name, array in found.items()}

        pixel = 1 if stays_bytes(image, size=size, channels=view.channels) else 4
        side = size + 2 * shift
        return SplitView(
            size=len(label),
            nbytes=len(label) * (side * side * view.channels * pixel + label.itemsize),
            facts={"size": view.size, "channels": view.channels}
            | ({"kept": size} if variation.crop else {}),
            key=("image", *options.values()),
            whole=lambda: prepare(raw),
            rows=rows,
        )

    def nbytes(self, info: DatasetInfo, view: ImageView, variation: Variation) -> int:
        size = _kept(info, view, variation)
        native = info.dtype == "uint8" and info.shape == (size, size, view.channels)
        pixels = (size + 2 * variation.shift) ** 2 * view.channels
        return sum(info.split_sizes.values()) * pixels * (1 if native else 4)

    def stored(self, info: DatasetInfo) -> int:
        pixels = math.prod(info.shape) * np.dtype(info.dtype).itemsize
        return sum(info.split_sizes.values()) * (pixels + 4)

    def options(self, view: ImageView, variation: Variation) -> dict[str, object]:
        return {"size": view.size, "variation": variation}


def _kept(info: DatasetInfo, view: ImageView, variation: Variation) -> int:
    """Return the size of the images that batches are gathered from.

    Parts are cut out of images at their own size, so that small parts keep their detail.
    """
    return info.shape[0] if variation.crop else view.size
