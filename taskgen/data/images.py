"""Images: decoded, and resized once when they are opened."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo

_CHUNK = 128  # images resized at a time; few enough to stay in the processor's cache


def prepare_images(raw: Arrays, *, size: int, channels: int, shift: int) -> Arrays:
    """Make the arrays that batches of images are gathered from.

    Images that need neither resizing nor greyscale stay bytes, a quarter of the memory; others
    become float32 in [0, 1].

    Args:
      raw: ``{"image": u8[N,H,W,C] or f32[N,H,W,C] from 0 to 255, "label": i32[N]}``.
      size: Height and width in pixels.
      channels: Those of the data, or 1 for grey; else a :class:`DataError` is raised.
      shift: Zeros around every image, so that a shifted image is a slice.

    Returns:
      ``{"image": [N,size+2*shift,size+2*shift,channels], "label": i32[N]}``.
    """
    image = raw["image"]
    native = image.shape[1:]
    if channels not in (native[2], 1):
        raise DataError(
            f"images with {native[2]} channels cannot be seen with {channels}; ask for "
            f"{native[2]}, or for 1 (grey)."
        )
    inside = slice(shift, shift + size)
    as_bytes = stays_bytes(image, size=size, channels=channels)
    side = size + 2 * shift
    made = np.zeros((len(image), side, side, channels), np.uint8 if as_bytes else np.float32)
    for at in range(0, len(image), _CHUNK):
        chunk = image[at : at + _CHUNK]
        if not as_bytes:
            chunk = resize_bilinear(chunk, size)
            chunk /= np.float32(255)
        if channels != native[2]:
            chunk = chunk.mean(axis=-1, keepdims=True, dtype=np.float32)
        made[at : at + _CHUNK, inside, inside] = chunk
    return {"image": made, "label": raw["label"]}


def stays_bytes(image: np.ndarray, *, size: int, channels: int) -> bool:
    """Return whether images need neither resizing nor greyscale, and are bytes."""
    return image.dtype == np.uint8 and image.shape[1:] == (size, size, channels)


def decode(path: Path) -> np.ndarray:
    """Decode an image file to u8[H,W,3]; a damaged one raises a :class:`DataError`."""
    from PIL import Image  # noqa: PLC0415 - only preparing a published data set decodes images

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata, which some photographs have
            with Image.open(path) as picture:
                return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:  # what pillow raises for damaged files
        raise DataError(f"{path} cannot be decoded: {error}. Fetch the data set again.") from error


def squash(image: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """Resize a photograph u8[H,W,3] to the size and type of a data set.

    Bytes are cut off to whole grey levels, like ImageNet's; float32 from 0 to 255 is not rounded,
    like Food-101, which was resized in training.
    """
    resized = resize_bilinear(image[None], info.shape[0])[0]
    return resized.astype(np.uint8) if info.dtype == "uint8" else resized


def crop_centre(image: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """Cut the middle square of a photograph u8[H,W,3] out and resize it (bicubic), to bytes.

    At 256 pixels, its middle 224 are what the ImageNet workloads of MLCommons evaluate on.
    """
    height, width, _ = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[None, top : top + side, left : left + side]
    return np.clip(np.rint(resize_bicubic(square, info.shape[0])[0]), 0, 255).astype(np.uint8)


def resize_bicubic(image: np.ndarray, size: int) -> np.ndarray:
    """Resize images [N,H,W,C] to f32[N,size,size,C], without antialiasing.

    Each new pixel is made of the four nearest on each axis (Keys 1981, with a = -0.5; weights of
    pixels outside are left out), centres of pixels at half-integers. Only elementwise float32
    operations, so the result is the same on every machine.
    """
    image = image.astype(np.float32)
    for axis in (2, 1):
        length = image.shape[axis]
        centre = (np.arange(size) + 0.5) * (length / size) - 0.5
        taps = np.floor(centre).astype(np.int64) + np.arange(-1, 3)[:, None]
        weights = _keys(np.abs(centre - taps)) * ((taps >= 0) & (taps < length))
        weights = (weights / weights.sum(axis=0)).astype(np.float32)
        made = np.zeros_like(image.take(taps[0].clip(0, length - 1), axis=axis))
        for tap, weight in zip(taps.clip(0, length - 1), weights, strict=True):
            made += image.take(tap, axis=axis) * weight.reshape(
                (-1, 1) if axis == 2 else (-1, 1, 1)
            )
        image = made
    return image


def _keys(distance: np.ndarray) -> np.ndarray:
    """Return the weight of a pixel at a distance from 0 to 2."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))


def resize_bilinear(image: np.ndarray, size: int) -> np.ndarray:
    """Resize images [N,H,W,C] to f32[N,size,size,C] as Metz et al. 2022 (arXiv 2211.09760) did.

    Bilinear between the two nearest pixels on each axis, centres of pixels at half-integers, no
    antialiasing, edges repeated, aspect ratio not kept, not rounded. Only elementwise float32
    operations, so the result is the same on every machine.
    """
    image = image.astype(np.float32)
    for axis in (2, 1):
        low, high, weight = _neighbours(image.shape[axis], size)
        weight = weight.reshape((-1, 1) if axis == 2 else (-1, 1, 1))
        first, image = image.take(low, axis=axis), image.take(high, axis=axis)
        image -= first
        image *= weight
        image += first
    return image


def _neighbours(length: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the old pixels before and after each new pixel's centre, and the latter's weight."""
    centre = (np.arange(size) + 0.5) * (length / size) - 0.5
    below = np.floor(centre)
    weight = (centre - below).astype(np.float32)
    below = below.astype(np.int64)
    return np.clip(below, 0, length - 1), np.clip(below + 1, 0, length - 1), weight
