"""Every operation of RandAugment against Pillow, or against its definition where they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import jax
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from velodrome.taskgen.data.randaugment import OPERATIONS, distorted, random_operations

SIDE = 32
_change = jax.jit(distorted, static_argnames="magnitude")


def images() -> np.ndarray:
    """Noise, noise of little contrast, one colour, and a slope."""
    words = np.random.Philox(key=3).random_raw(2 * SIDE * SIDE * 3) % 256
    noise = words.astype(np.uint8).reshape(2, SIDE, SIDE, 3)
    noise[1] = noise[1] // 4 + 90
    flat = np.full((1, SIDE, SIDE, 3), (7, 200, 90), np.uint8)
    slope = np.broadcast_to(np.arange(SIDE, dtype=np.uint8)[:, None, None] * 7, flat.shape[1:])
    return np.concatenate([noise, flat, slope[None]])


def change(
    image: np.ndarray, name: str, *, negative: bool = False, centre=(0, 0), magnitude: int = 10
) -> np.ndarray:
    drawn = np.array([OPERATIONS.index(name), negative, *centre], np.int32)
    made = _change(image, np.tile(drawn, (len(image), 1, 1)), magnitude=magnitude)
    assert made.dtype == np.uint8
    return np.asarray(made)


def moved(coefficients: tuple[float, ...]) -> Callable[[Image.Image], Image.Image]:
    """The new pixel at (x, y) is the old one at (a x + b y + c, d x + e y + f), by numbers of
    pixels; Pillow counts from their corners."""
    a, b, c, d, e, f = coefficients
    corners = (a, b, c + (1 - a - b) / 2, d, e, f + (1 - d - e) / 2)
    return lambda image: image.transform(
        image.size, Image.Transform.AFFINE, corners, Image.Resampling.NEAREST, fillcolor=(128,) * 3
    )


WAY = 100 * SIDE / 224  # of a translation

BY_PILLOW: dict[str, tuple[str, bool, Callable[[Image.Image], Image.Image]]] = {
    "equalize": ("equalize", False, ImageOps.equalize),
    "invert": ("invert", False, ImageOps.invert),
    "posterize": ("posterize", False, lambda image: ImageOps.posterize(image, 4)),
    "solarize": ("solarize", False, lambda image: ImageOps.solarize(image, 256)),
    "color": ("color", False, lambda image: ImageEnhance.Color(image).enhance(1.9)),
    "brightness": ("brightness", False, lambda image: ImageEnhance.Brightness(image).enhance(1.9)),
    "rotate": ("rotate", False, lambda image: image.rotate(30, fillcolor=(128,) * 3)),
    "rotate back": ("rotate", True, lambda image: image.rotate(-30, fillcolor=(128,) * 3)),
    "shear_x": ("shear_x", False, moved((1, 0.27, 0, 0, 1, 0))),
    "shear_x back": ("shear_x", True, moved((1, -0.27, 0, 0, 1, 0))),
    "shear_y": ("shear_y", False, moved((1, 0, 0, 0.27, 1, 0))),
    "shear_y back": ("shear_y", True, moved((1, 0, 0, -0.27, 1, 0))),
    "translate_x": ("translate_x", False, moved((1, 0, WAY, 0, 1, 0))),
    "translate_x back": ("translate_x", True, moved((1, 0, -WAY, 0, 1, 0))),
    "translate_y": ("translate_y", False, moved((1, 0, 0, 0, 1, WAY))),
    "translate_y back": ("translate_y", True, moved((1, 0, 0, 0, 1, -WAY))),
}


@pytest.mark.parametrize("case", BY_PILLOW)
def test_operations_are_those_of_pillow(case: str):
    name, negative, reference = BY_PILLOW[case]
    expected = np.stack([np.asarray(reference(Image.fromarray(image))) for image in images()])
    # At magnitude 10 sheared pixels lie halfway between two, where rounding decides.
    magnitude = 9 if name.startswith("shear") else 10
    got = change(images(), name, negative=negative, magnitude=magnitude)
    np.testing.assert_array_equal(got, expected)


def blend(first: np.ndarray, second: np.ndarray, factor: float = 1.9) -> np.ndarray:
    mixed = first + np.float32(factor) * (second.astype(np.float32) - first)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def sharpness(image: np.ndarray) -> np.ndarray:
    """As the workload has it: the average is cut off to a whole number, which Pillow rounds."""
    smooth = image.astype(np.int64)
    total = sum(
        smooth[:, 1 + dy : SIDE - 1 + dy, 1 + dx : SIDE - 1 + dx] * (5 if dx == dy == 0 else 1)
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    )
    smooth[:, 1:-1, 1:-1] = total // 13
    return blend(smooth.astype(np.float32), image)


def cutout(image: np.ndarray) -> np.ndarray:
    half, made = int(40 * SIDE / 224), image.copy()
    made[:, max(0, 3 - half) : 3 + half, max(0, 20 - half) : 20 + half] = 128
    return made


def auto_contrast(image: np.ndarray) -> np.ndarray:
    """In whole numbers; Pillow's float64 is one grey level below where that is exact."""
    low, high = (reduce(image, axis=(1, 2), keepdims=True).astype(np.int64)
                 for reduce in (np.min, np.max))  # fmt: skip
    stretched = (image - low) * 255 // np.maximum(high - low, 1)
    return np.where(high > low, stretched, image)


BY_DEFINITION: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "auto_contrast": auto_contrast,
    "sharpness": sharpness,
    # The workload's grey is the number of pixels over 256, here as for 224x224.
    "contrast": lambda image: blend(np.full(image.shape, 196, np.float32), image),
    "cutout": cutout,
    "solarize_add": lambda image: np.where(
        image < 128, np.minimum(image.astype(np.int64) + 110, 255), image
    ),
}


@pytest.mark.parametrize("name", BY_DEFINITION)
def test_operations_that_are_not_those_of_pillow(name: str):
    got = change(images(), name, centre=(3, 20))
    np.testing.assert_array_equal(got, BY_DEFINITION[name](images()))


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("auto_contrast", ImageOps.autocontrast),
        ("sharpness", lambda image: ImageEnhance.Sharpness(image).enhance(1.9)),
    ],
)
def test_some_differ_from_pillow_by_one_grey_level(
    name: str, reference: Callable[[Image.Image], Image.Image]
):
    expected = np.stack([np.asarray(reference(Image.fromarray(image))) for image in images()])
    assert np.abs(change(images(), name).astype(np.int64) - expected).max() == 1


def test_every_operation_is_tested():
    assert {case[0] for case in BY_PILLOW.values()} | set(BY_DEFINITION) == set(OPERATIONS)


def test_the_magnitude():
    image = images()
    expected = np.stack([np.asarray(ImageOps.solarize(Image.fromarray(p), 128)) for p in image])
    np.testing.assert_array_equal(change(image, "solarize", magnitude=5), expected)
    np.testing.assert_array_equal(change(image, "rotate", magnitude=0), image)
    np.testing.assert_array_equal(change(image, "color", magnitude=5), image)  # a factor of 1
    dark = change(image, "brightness", magnitude=0)
    np.testing.assert_array_equal(dark, blend(np.zeros(image.shape, np.float32), image, 0.1))


def test_images_of_one_channel():
    grey = images()[..., :1]
    np.testing.assert_array_equal(change(grey, "color"), grey)
    expected = [np.asarray(ImageOps.equalize(Image.fromarray(image[..., 0]))) for image in grey]
    np.testing.assert_array_equal(change(grey, "equalize")[..., 0], expected)


@pytest.mark.usefixtures("strict_dtypes")
def test_images_go_through_the_operations_that_are_drawn_for_them(key: jax.Array):
    drawn = np.asarray(random_operations(key, 4, 2, SIDE))
    got = _change(images(), drawn, magnitude=10)
    for image, operations, made in zip(images(), drawn, got, strict=True):
        for number, negative, *centre in operations:
            name = OPERATIONS[number]
            image = change(image[None], name, negative=bool(negative), centre=centre)[0]
        np.testing.assert_array_equal(made, image)


def test_operations_are_drawn_evenly(key: jax.Array):
    drawn = np.asarray(random_operations(key, 8000, 2, SIDE)).reshape(-1, 4)
    counts = Counter(drawn[:, 0].tolist())
    assert set(counts) == set(range(16))
    # The 99.9% quantile of chi-squared with 15 degrees of freedom; the draw is fixed.
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 37.7
    assert abs(drawn[:, 1].mean() - 0.5) < 0.02
    for column in (2, 3):
        assert set(drawn[:, column].tolist()) == set(range(SIDE))
