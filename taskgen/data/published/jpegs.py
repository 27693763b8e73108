"""Photographs in files or records of any size, resized as the published tasks saw them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.images import resize_bilinear
from velodrome.taskgen.data.info import Arrays, DatasetInfo


def decode(file: bytes | Path | BinaryIO, what: str) -> np.ndarray:
    """Decodes an image file to u8[H,W,3].

    Raises:
      DataError: It cannot be decoded.
    """
    from PIL import Image

    source = io.BytesIO(file) if isinstance(file, bytes) else file
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, which some photographs have
            with Image.open(source) as picture:
                return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:  # what pillow raises for damaged files
        raise DataError(f"{what} cannot be decoded: {error}. Fetch the data set again.") from error


def squash(image: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """Resizes one image to the size of a data set, without keeping its aspect ratio.

    Bilinear without antialiasing, see :func:`velodrome.taskgen.data.images.resize_bilinear`.

    Args:
      image: u8[H,W,3].
      info: Facts about the data set.

    Returns:
      The type of the data set: u8, cut off to whole grey levels (as ImageNet was), or f32 from 0 to
      255, not rounded (Food-101, which was resized in training).
    """
    resized = resize_bilinear(image[None], info.shape[0])[0]
    return resized.astype(np.uint8) if info.dtype == "uint8" else resized


def file_reader(
    paths: Sequence[Path], labels: np.ndarray, info: DatasetInfo
) -> Callable[[int, int], Arrays]:
    """Returns ``read(start, stop)`` of images in files of their own.

    Args:
      paths: The files, in the final order.
      labels: i32[N], their labels.
      info: Facts about the data set.
    """

    def read(start: int, stop: int) -> Arrays:
        images = [squash(decode(path, str(path)), info) for path in paths[start:stop]]
        return {"image": np.stack(images), "label": labels[start:stop]}

    return read
