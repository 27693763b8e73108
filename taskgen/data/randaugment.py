"""RandAugment (Cubuk et al. 2019, arXiv 1909.13719) of bytes, on the device.

It is that of the ViT workload of MLCommons AlgoPerf, with its sixteen operations and constants:
each image is changed by a few of them, drawn evenly, each at the same magnitude. Lengths in pixels
are the workload's for 224 pixels, in proportion for other sizes. Everything is in whole numbers
but coordinates and blends, so that machines agree.

Under ``vmap`` a branch costs as much as all branches. So there is none: an operation is a table of
256 bytes, a move, a blend or a hole, and each image goes through one of each, which changes nothing
where it was not drawn.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from velodrome.taskgen.data.crops import below
from velodrome.taskgen.data.variation import LARGEST_MAGNITUDE

OPERATIONS = (
    "auto_contrast", "equalize", "invert", "rotate", "posterize", "solarize", "color", "contrast",
    "brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y", "cutout",
    "solarize_add",
)  # fmt: skip
_NUMBER = {name: number for number, name in enumerate(OPERATIONS)}

FILL = 128
"""What is seen where an image moved away, and in a hole."""

# A slip of the original, which the workload has too: not the mean of an image's greys, but its
# number of pixels over 256, which is 196 for 224x224.
_GREY = 196
_SIZE = 224  # that lengths are given for
_TRANSLATION, _HOLE = 100, 40  # pixels: the farthest way, and half a side
_ANGLE, _SHEAR = math.radians(30), 0.3
_WORDS = 0x72616E64  # makes the random numbers differ from those of other changes


def random_operations(key: jax.Array, count: int, operations: int, size: int) -> jax.Array:
    """Draw what `distorted` does to each of ``count`` images of a size.

    Returns:
      i32[count,operations,4]: the place in `OPERATIONS`; 1 if an angle, a shear or a translation
      is negative, else 0; and row and column of the centre of a hole.
    """
    words = jax.random.bits(jax.random.fold_in(key, _WORDS), (count, operations, 2), jnp.uint32)
    what, where = words[..., 0], words[..., 1]
    sides = jnp.full_like(where, size)
    return jnp.stack(
        [
            (what >> jnp.uint32(28)).astype(jnp.int32),
            ((what >> jnp.uint32(27)) & jnp.uint32(1)).astype(jnp.int32),
            below(where, sides),
            below(where << jnp.uint32(16), sides),
        ],
        axis=-1,
    )


def distorted(image: jax.Array, drawn: jax.Array, *, magnitude: int) -> jax.Array:
    """Change images u8[B,H,W,C], of one or three channels, by operations one after the other.

    Args:
      drawn: i32[B,operations,4], of `random_operations`.
      magnitude: From 0 to 10; where 0 leaves an image as it is depends on the operation.
    """
    batch, height, width, channels = image.shape
    level = magnitude / LARGEST_MAGNITUDE
    drawn = drawn.swapaxes(0, 1)
    places = jax.vmap(lambda each: _places(each, height, width, level))(drawn)

    def change(planes: jax.Array, layer: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        return _changed(planes, layer[0][:, 0], layer[1], level), None

    # Loops, here and below: without them XLA:CPU computes what an operation reads again for each
    # pixel that it writes.
    planes = jax.lax.scan(change, image.transpose(3, 0, 1, 2), (drawn, places))[0]
    return planes.transpose(1, 2, 3, 0)


def _changed(planes: jax.Array, number: jax.Array, places: jax.Array, level: float) -> jax.Array:
    """Change each image by one operation.

    Args:
      planes: u8[C,B,H,W].
      number: i32[B], places in `OPERATIONS`.
      places: i32[B,H,W], of `_places`.
    """
    grey, fixed = _grey(planes), jnp.asarray(_fixed_tables(level))[number]

    def channel(plane: jax.Array) -> tuple[jax.Array, jax.Array]:
        # One operation does something, so the order is free.
        return _blended(plane, grey, number, level), _table(plane, fixed, number)

    planes, tables = jax.lax.map(channel, planes)
    flat, places = planes.reshape(*planes.shape[:2], -1), places.reshape(len(places), -1)[None]
    seen = jnp.take_along_axis(flat, jnp.maximum(places, 0), axis=2, mode="promise_in_bounds")
    seen = seen.astype(jnp.int32)
    seen = jnp.take_along_axis(tables, seen, axis=2, mode="promise_in_bounds")
    return jnp.where(places < 0, jnp.uint8(FILL), seen).reshape(planes.shape)


def _factor(level: float) -> float:
    return 1.8 * level + 0.1


def _fixed_tables(level: float) -> np.ndarray:
    """Return u8[operations,256]: what becomes of each byte, whatever the image."""
    value = np.arange(256)
    kept = int(level * 4)  # bits

    def blend(grey: int) -> np.ndarray:
        return np.clip(
            grey + np.float32(_factor(level)) * (value - grey).astype(np.float32), 0, 255
        )

    made = {
        "invert": 255 - value,
        "posterize": value >> (8 - kept) << (8 - kept),
        "solarize": np.where(value < int(level * 256), value, 255 - value),
        "solarize_add": np.where(value < 128, np.minimum(value + int(level * 110), 255), value),
        "contrast": blend(_GREY),
        "brightness": blend(0),
    }
    return np.stack([made.get(name, value) for name in OPERATIONS]).astype(np.uint8)


def _table(plane: jax.Array, fixed: jax.Array, number: jax.Array) -> jax.Array:
    """Return u8[B,256]: what becomes of each byte of a channel u8[B,H,W].

    ``fixed`` u8[B,256] are the tables where the image does not matter.
    """
    pixels, which = plane.reshape(len(plane), -1), number[:, None]
    made = jnp.where(which == _NUMBER["auto_contrast"], _auto_contrast(pixels), fixed)
    return jnp.where(which == _NUMBER["equalize"], _equalize(pixels), made)


def _quotient(value: jax.Array, divisor: jax.Array | int) -> jax.Array:
    """Return i32, ``value // divisor`` of whole numbers from 0 to a million.

    Processors divide floats many at a time. A quarter is less than the way to the next quotient,
    and more than the error.
    """
    return jnp.floor((value.astype(jnp.float32) + 0.25) / divisor).astype(jnp.int32)


def _auto_contrast(pixels: jax.Array) -> jax.Array:
    """Return tables u8[B,256] that stretch u8[B,pixels] over all bytes."""
    low = pixels.min(axis=1, keepdims=True).astype(jnp.int32)
    span = pixels.max(axis=1, keepdims=True).astype(jnp.int32) - low
    value = jnp.arange(256, dtype=jnp.int32)[None]
    above = jnp.clip(value - low, 0, span) * 255
    stretched = _quotient(above, jnp.maximum(span, 1).astype(jnp.float32))
    return jnp.where(span > 0, stretched, value).astype(jnp.uint8)


def _equalize(pixels: jax.Array) -> jax.Array:
    """Return tables u8[B,256] that make all bytes of u8[B,pixels] about equally frequent."""
    batch, size = pixels.shape
    places = jnp.arange(batch, dtype=jnp.int32)[:, None] * 256 + pixels.astype(jnp.int32)
    counts = jnp.zeros(batch * 256, jnp.int32)
    counts = counts.at[places.reshape(-1)].add(1, mode="promise_in_bounds").reshape(batch, 256)
    largest = pixels.max(axis=1, keepdims=True).astype(jnp.int32)
    step = (size - jnp.take_along_axis(counts, largest, axis=1)) // 255
    before = jnp.cumsum(counts, axis=1) - counts
    spread = _quotient(before + step // 2, jnp.maximum(step, 1).astype(jnp.float32))
    value = jnp.arange(256, dtype=jnp.int32)[None]
    return jnp.where(step > 0, jnp.clip(spread, 0, 255), value).astype(jnp.uint8)


def _places(drawn: jax.Array, height: int, width: int, level: float) -> jax.Array:
    """Return i32[B,H,W]: the number of the pixel that each new one is, or -1 where none is.

    Images rotate about the middle, shear along the first row or column, or move; nearest pixels.
    The new pixel at (x, y) is the old one at (x + dx, y + dy). A hole has none.

    Args:
      drawn: i32[B,4], of `random_operations`.
    """
    number, negative, *centre = (drawn[:, part, None, None] for part in range(4))
    sign = 1.0 - 2.0 * negative.astype(jnp.float32)
    y = jnp.arange(height, dtype=jnp.float32)[None, :, None]
    x = jnp.arange(width, dtype=jnp.float32)[None, None, :]
    angle = level * _ANGLE
    turned, far = math.cos(angle) - 1, sign * math.sin(angle)
    sheared, way = sign * level * _SHEAR, sign * level * _TRANSLATION
    y_middle, x_middle = y - (height - 1) / 2, x - (width - 1) / 2
    across = {
        "rotate": turned * x_middle - far * y_middle,
        "shear_x": sheared * y,
        "translate_x": way * (width / _SIZE),
    }
    down = {
        "rotate": turned * y_middle + far * x_middle,
        "shear_y": sheared * x,
        "translate_y": way * (height / _SIZE),
    }

    def place(at: jax.Array, ways: dict[str, jax.Array]) -> jax.Array:
        moved = jnp.zeros((), jnp.float32)[None, None, None]
        for name, each in ways.items():
            moved = jnp.where(number == _NUMBER[name], each, moved)
        return jnp.floor(at + moved + 0.5).astype(jnp.int32)

    row, column = place(y, down), place(x, across)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)

    def near(at: jax.Array, middle: jax.Array, length: int) -> jax.Array:
        half = int(level * _HOLE * length / _SIZE)
        away = at.astype(jnp.int32) - middle
        return (away >= -half) & (away < half)

    hole = near(y, centre[0], height) & near(x, centre[1], width) & (number == _NUMBER["cutout"])
    return jnp.where(inside & ~hole, row * width + column, -1)


def _blended(plane: jax.Array, grey: jax.Array, number: jax.Array, level: float) -> jax.Array:
    """Move a channel u8[B,H,W] away from greys f32[B,H,W], or from its smoothed self."""
    number = number[:, None, None]
    sharper, more_coloured = number == _NUMBER["sharpness"], number == _NUMBER["color"]
    own = plane.astype(jnp.float32)
    base = jnp.where(sharper, _smooth(own), grey)
    away = jnp.clip(base + _factor(level) * (own - base), 0.0, 255.0).astype(jnp.uint8)
    return jnp.where(sharper | more_coloured, away, plane)


def _grey(planes: jax.Array) -> jax.Array:
    """Return the luminance f32[B,H,W] of u8[C,B,H,W], a whole number, as Pillow rounds it."""
    if len(planes) != 3:
        return planes[0].astype(jnp.float32)
    red, green, blue = planes.astype(jnp.int32)
    grey = (19_595 * red + 38_470 * green + 7_471 * blue + 32_768) >> 16
    return grey.astype(jnp.float32)


def _smooth(plane: jax.Array) -> jax.Array:
    """Average whole numbers f32[B,H,W] over 3x3, with 5/13 of the middle one; borders stay."""
    height, width = plane.shape[1:]
    y, x = jnp.arange(height)[None, :, None], jnp.arange(width)[None, None, :]
    border = (y == 0) | (y == height - 1) | (x == 0) | (x == width - 1)
    wide = jnp.pad(plane, ((0, 0), (1, 1), (1, 1)))
    rows = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * plane
    return jnp.where(border, plane, jnp.floor((total + 0.25) / 13))
