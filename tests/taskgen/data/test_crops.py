"""Random parts of images: where they lie, their sizes in distribution, and how they are resized."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from velodrome.taskgen.data.crops import (
    NARROWEST,
    WIDEST,
    middle_boxes,
    random_boxes,
    resize_boxes,
)
from velodrome.taskgen.data.gather import gather_images
from velodrome.taskgen.data.images import resize_bicubic
from velodrome.taskgen.data.variation import Variation

draw = jax.jit(random_boxes, static_argnums=(1, 2, 3))
resize = jax.jit(resize_boxes, static_argnames="size")
gather = jax.jit(gather_images, static_argnames=("augment", "size", "variation"))


def random_images(count: int, side: int, channels: int) -> np.ndarray:
    words = np.random.Philox(key=5).random_raw(count * side * side * channels)
    return (words % 256).astype(np.uint8).reshape(count, side, side, channels)


def reference_height(ratio: float, side: int, least: float, unit: float) -> int:
    """Height of a part of a square, for one try of TensorFlow's rule."""
    lowest, highest = round((least * side**2 / ratio) ** 0.5), round((side**2 / ratio) ** 0.5)
    if round(highest * ratio) > side:
        highest = int((side + 0.5 - 1e-7) / ratio)
    highest = min(highest, side)
    lowest = min(lowest, highest)
    height = lowest + int(unit * (highest - lowest + 1))
    return height + (height * round(height * ratio) < least * side**2)


@pytest.mark.parametrize(("side", "least"), [(256, 0.08), (32, 0.5)])
def test_parts_are_inside_and_distributed_as_published(side: int, least: float, key: jax.Array):
    count = 20_000
    top, left, height, width = np.asarray(draw(key, count, side, least)).T
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + height <= side).all() and (left + width <= side).all()
    area = height * width / side**2
    assert area.min() >= least and area.max() > 0.9
    ratio = width / height
    rounding = 0.5 / height.min()
    assert ratio.min() > NARROWEST - rounding and ratio.max() < WIDEST + rounding
    units = np.random.Philox(key=1).random_raw(2 * count).astype(np.float64) / 2**64
    ratios = NARROWEST + units[:count] * (WIDEST - NARROWEST)
    expected = np.array(
        [reference_height(*each) for each in zip(ratios, [side] * count, [least] * count,
                                                 units[count:], strict=True)]
    )  # fmt: skip
    places = np.linspace(0.02, 0.98, 25)
    found, wanted = (
        np.quantile(heights * np.rint(heights * ratios_) / side**2, places)
        for heights, ratios_ in ((height, ratio), (expected, ratios))
    )
    np.testing.assert_allclose(found, wanted, atol=0.02)
    # Every place is as likely as any other.
    for start, length in ((top, height), (left, width)):
        free = side - length
        inner = free > 4
        assert abs((start[inner] / free[inner]).mean() - 0.5) < 0.01
        assert (start == 0).any() and (start == free).any()


def test_parts_that_never_fit_are_the_whole_image(key: jax.Array):
    boxes = np.asarray(draw(key, 500, 16, 1.0))
    assert {tuple(box) for box in boxes} == {(0, 0, 16, 16)}


@pytest.mark.usefixtures("strict_dtypes")
def test_the_whole_image_is_not_changed_at_its_own_size():
    image = random_images(3, 16, 3)
    whole = np.tile(np.array([0, 0, 16, 16], np.int32), (3, 1))
    mirrored = np.array([False, True, False])
    got = np.asarray(resize(image, whole, mirrored, size=16))
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got[[0, 2]], image[[0, 2]])
    np.testing.assert_array_equal(got[1], image[1, :, ::-1])
    floats = image.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(resize(floats, whole, mirrored, size=16)[0], floats[0])


def test_parts_are_cut_out_and_resized(key: jax.Array):
    image = random_images(20, 24, 3)
    boxes = np.asarray(draw(key, 20, 24, 0.1))
    got = np.asarray(resize(image, boxes, np.zeros(20, bool), size=12))
    for pixels, part, (top, left, height, width) in zip(image, got, boxes, strict=True):
        cut = pixels[None, top : top + height, left : left + width]
        expected = np.clip(np.rint(resize_bicubic(cut, 12)[0]), 0, 255)
        away = np.abs(expected - part)
        assert away.max() <= 1 and (away > 0).mean() < 0.01  # float32 at half a grey level


def test_evaluation_sees_the_middle(key: jax.Array):
    image = random_images(4, 32, 3)
    assert np.asarray(middle_boxes(1, 32)).tolist() == [[2, 2, 28, 28]]
    assert np.asarray(middle_boxes(1, 256)).tolist() == [[16, 16, 224, 224]]
    arrays = {"image": jnp.asarray(image), "label": jnp.arange(4, dtype=jnp.int32)}
    at, variation = jnp.array([3, 1], jnp.int32), Variation(crop=0.08, flip=True, randaugment=2)
    plain = gather(arrays, at, key, augment=False, size=28, variation=variation)
    np.testing.assert_array_equal(plain["image"], image[[3, 1], 2:30, 2:30])
    assert plain["label"].tolist() == [3, 1]


@pytest.mark.usefixtures("strict_dtypes")
def test_batches_depend_on_the_key_alone(key: jax.Array):
    image = random_images(6, 20, 3)
    arrays = {"image": jnp.asarray(image), "label": jnp.arange(6, dtype=jnp.int32)}
    variation = Variation(crop=0.1, flip=True, randaugment=1)
    at, keys = jnp.arange(6, dtype=jnp.int32), jax.random.split(key)

    def get(key: jax.Array) -> jax.Array:
        return gather_images(arrays, at, key, augment=True, size=16, variation=variation)["image"]

    one, two = (jax.jit(get)(key) for key in keys)
    assert one.dtype == np.uint8 and (one != two).any(axis=(1, 2, 3)).mean() > 0.8
    both = jax.jit(jax.vmap(get))(keys)
    # The order of sums may differ by shape, and move a pixel by a grey level before distortions.
    assert (np.asarray(both) != np.stack([one, two])).mean() < 0.01


def test_large_images_are_changed_in_pieces(key: jax.Array, monkeypatch: pytest.MonkeyPatch):
    arrays = {"image": jnp.asarray(random_images(6, 20, 3)), "label": jnp.zeros(6, jnp.int32)}
    at, variation = jnp.arange(6, dtype=jnp.int32), Variation(crop=0.1, flip=True)

    def get(key: jax.Array) -> jax.Array:
        return gather_images(arrays, at, key, augment=True, size=16, variation=variation)["image"]

    expected = jax.jit(get)(key)
    monkeypatch.setattr("velodrome.taskgen.data.gather._VALUES_AT_ONCE", {"cpu": 2_400})
    pieces = jax.jit(lambda key: get(key))(key)  # two images at a time
    assert (np.asarray(pieces) != np.asarray(expected)).mean() < 0.01
