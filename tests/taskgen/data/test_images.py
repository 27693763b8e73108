"""Resizing against cases worked out by hand; shifts and flips in distribution and exactly."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.gather import as_floats, gather_images
from velodrome.taskgen.data.images import prepare_images, resize_bicubic, resize_bilinear
from velodrome.taskgen.data.variation import Variation


def column(*values: float) -> np.ndarray:
    """An image that varies along one axis only, as [1,H,1,1]."""
    return np.asarray(values, np.float32).reshape(1, -1, 1, 1)


def random_images(count: int, side: int, channels: int) -> np.ndarray:
    words = np.random.Philox(key=5).random_raw(count * side * side * channels)
    return (words % 256).astype(np.uint8).reshape(count, side, side, channels)


def prepared(image: np.ndarray, **options) -> np.ndarray:
    raw = {"image": image, "label": np.arange(len(image), dtype=np.int32)}
    settings = {"size": image.shape[1], "channels": image.shape[3], "shift": 0} | options
    return prepare_images(raw, **settings)["image"]


def test_resize_by_hand():
    # 4 -> 2: centres fall between pixels 0, 1 and between 2, 3.
    assert resize_bilinear(column(0, 10, 20, 60), 2)[0, :, 0, 0].tolist() == [5, 40]
    # 2 -> 4: centres at -0.25, 0.25, 0.75, 1.25; the edge repeats.
    assert resize_bilinear(column(0, 100), 4)[0, :, 0, 0].tolist() == [0, 25, 75, 100]
    # 3 -> 2: centres at 0.25 and 1.75.
    assert resize_bilinear(column(0, 4, 8), 2)[0, :, 0, 0].tolist() == [1, 7]
    # 8 -> 2 without antialiasing: only pixels 1, 2 and 5, 6 count.
    spiked = column(255, 2, 4, 255, 255, 6, 8, 255)
    assert resize_bilinear(spiked, 2)[0, :, 0, 0].tolist() == [3, 7]
    # 28 -> 8: the first centre is at 3.5 * 0.5 - 0.5 = 1.25, the second at 4.75.
    ramp = resize_bilinear(column(*range(28)), 8)[0, :, 0, 0]
    np.testing.assert_allclose(ramp, 3.5 * (np.arange(8) + 0.5) - 0.5, rtol=1e-6)


@pytest.mark.parametrize(("length", "size"), [(30, 16), (7, 19), (5, 5), (1, 3)])
def test_bicubic_is_that_of_jax(length: int, size: int):
    image = np.random.default_rng(0).integers(0, 256, (2, length, length, 3)).astype(np.uint8)
    shape = (2, size, size, 3)
    expected = jax.image.resize(image.astype(np.float32), shape, "cubic", antialias=False)
    np.testing.assert_allclose(resize_bicubic(image, size), expected, atol=2e-3)


@pytest.mark.parametrize(("size", "cell"), [(16, 2), (8, 4)])
def test_halving_averages_the_centre_of_each_cell(size: int, cell: int):
    image = random_images(3, 32, 3)
    cells = image.reshape(3, size, cell, size, cell, 3).astype(np.float64)
    middle = slice(cell // 2 - 1, cell // 2 + 1)
    expected = cells[:, :, middle][:, :, :, :, middle].mean(axis=(2, 4))
    np.testing.assert_allclose(resize_bilinear(image, size), expected, rtol=1e-6)


def test_aspect_ratio_is_not_kept_and_values_are_not_rounded():
    wide = np.arange(8, dtype=np.uint8).reshape(1, 2, 4, 1)
    np.testing.assert_array_equal(resize_bilinear(wide, 2)[0, :, :, 0], [[0.5, 2.5], [4.5, 6.5]])
    np.testing.assert_array_equal(resize_bilinear(wide, 1)[0, :, :, 0], [[3.5]])


def test_resize_equals_jax():
    image = random_images(2, 13, 3)
    for size in (5, 12, 29):
        theirs = jax.image.resize(
            image.astype(np.float32), (2, size, size, 3), "linear", antialias=False
        )
        np.testing.assert_allclose(resize_bilinear(image, size), theirs, atol=1e-3)


def test_native_images_stay_bytes_and_others_become_floats():
    image = random_images(300, 6, 3)  # more than a chunk
    assert prepared(image).dtype == np.uint8
    np.testing.assert_array_equal(prepared(image), image)
    small = prepared(image, size=4)
    assert small.dtype == np.float32 and small.shape == (300, 4, 4, 3)
    np.testing.assert_allclose(small, resize_bilinear(image, 4) / 255, rtol=1e-6)
    grey = prepared(image, channels=1)
    np.testing.assert_allclose(grey[..., 0], image.mean(axis=-1) / 255, rtol=1e-6)
    with pytest.raises(DataError, match="3 channels cannot be seen with 2"):
        prepared(image, channels=2)


# Compiled as a whole: eagerly, each operation would be compiled alone.
gather = jax.jit(gather_images, static_argnames=("augment", "size", "variation"))


def batch(image: np.ndarray, indices, key, *, shift: int = 0, flip: bool = False, augment=True):
    arrays = {
        "image": jnp.asarray(prepared(image, shift=shift)),
        "label": jnp.arange(len(image), dtype=jnp.int32),
    }
    at = jnp.asarray(indices, jnp.int32)
    variation = Variation(shift=shift, flip=flip)
    stored = gather(arrays, at, key, augment=augment, size=image.shape[1], variation=variation)
    assert stored["image"].dtype == image.dtype
    return as_floats(stored)


@pytest.mark.usefixtures("strict_dtypes")
def test_without_augmentation_the_images_come_as_they_are():
    image = random_images(9, 5, 3)
    got = batch(image, [8, 0, 3], None, shift=2, flip=True, augment=False)
    np.testing.assert_array_equal(got["label"], [8, 0, 3])
    expected = image[[8, 0, 3]].astype(np.float32) / np.float32(255)
    np.testing.assert_allclose(got["image"], expected, rtol=1e-6)
    assert got["image"].dtype == np.float32 and got["label"].dtype == np.int32


@pytest.mark.usefixtures("strict_dtypes")
@pytest.mark.parametrize("flip", [False, True])
def test_shifts_and_flips_are_uniform_and_exact(flip: bool, key: jax.Array):
    shift, side, count = 2, 6, 4000
    original = np.arange(1, side * side + 1, dtype=np.uint8).reshape(1, side, side, 1)
    padded = np.pad(original[0], ((shift, shift), (shift, shift), (0, 0)))
    variants = {}
    for row in range(2 * shift + 1):
        for column_ in range(2 * shift + 1):
            slice_ = padded[row : row + side, column_ : column_ + side]
            variants[slice_.tobytes()] = (row, column_, False)
            if flip:
                variants[slice_[:, ::-1].tobytes()] = (row, column_, True)
    assert len(variants) == 25 * (1 + flip)
    got = batch(original, np.zeros(count), key, shift=shift, flip=flip)["image"]
    bytes_ = np.rint(np.asarray(got) * 255).astype(np.uint8)
    seen = [variants[image.tobytes()] for image in bytes_]  # a KeyError would be a wrong image
    counts = np.array([seen.count(variant) for variant in variants.values()])
    expected = count / len(variants)
    # The 99.9% quantiles of chi-squared with 24 and 49 degrees of freedom; the draw is fixed.
    assert ((counts - expected) ** 2 / expected).sum() < (85.4 if flip else 51.2)


def test_augmentation_depends_on_the_key_alone(key: jax.Array):
    image = random_images(20, 8, 1)
    one, two = jax.random.split(key)

    def get(key: jax.Array) -> jax.Array:
        return batch(image, np.arange(20), key, shift=2, flip=True)["image"]

    np.testing.assert_array_equal(get(one), get(one))
    assert (get(one) != get(two)).any(axis=(1, 2, 3)).mean() > 0.8
    many = jax.jit(jax.vmap(get))(jnp.stack([one, two]))
    np.testing.assert_allclose(many, jnp.stack([get(one), get(two)]), rtol=1e-6)


def test_resized_images_are_shifted_at_their_new_size(key: jax.Array):
    image = np.full((1, 8, 8, 3), 255, np.uint8)
    raw = {"image": image, "label": np.zeros(1, np.int32)}
    arrays = prepare_images(raw, size=4, channels=1, shift=1)
    assert arrays["image"].shape == (1, 6, 6, 1)
    on_device = {name: jnp.asarray(array) for name, array in arrays.items()}
    at = jnp.zeros(50, jnp.int32)
    got = gather(on_device, at, key, augment=True, size=4, variation=Variation(shift=1))["image"]
    lit = np.asarray(got[..., 0] > 0)
    assert set(lit.any(axis=2).sum(axis=1)) == {3, 4}  # a row of zeros moved in, or none
