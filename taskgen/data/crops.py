"""Random parts of images, resized (bicubic) and mirrored on the device.

The distribution is that of the ImageNet workloads of MLCommons AlgoPerf, which is TensorFlow's
``sample_distorted_bounding_box``: the ratio of width to height is uniform, and so is the height
among those that the least area and the image allow. Areas are therefore not uniform.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

NARROWEST, WIDEST = 3 / 4, 4 / 3
"""Least and largest ratio of a part's width to its height."""

MIDDLE = 7 / 8
"""The part of each side that is seen in evaluation."""

_TRIES = 10
_WORDS = 0x63726F70  # makes the random numbers differ from those of other changes


def below(words: jax.Array, counts: jax.Array) -> jax.Array:
    """Return i32 from 0 to ``counts - 1``, at most 65,535, by the upper halves of u32 words."""
    return (((words >> jnp.uint32(16)) * counts.astype(jnp.uint32)) >> jnp.uint32(16)).astype(
        jnp.int32
    )


def random_boxes(key: jax.Array, count: int, side: int, least: float) -> jax.Array:
    """Draw parts of square images, as i32[count,4]: top, left, height and width.

    Args:
      side: Height and width of the images.
      least: Least share of the image's area. A part that does not fit is drawn again, up to ten
        times; then it is the whole image.
    """
    words = jax.random.bits(jax.random.fold_in(key, _WORDS), (count, _TRIES, 4), jnp.uint32)
    unit = (words[..., 0] >> jnp.uint32(8)).astype(jnp.float32) * jnp.float32(2.0**-24)
    ratio = NARROWEST + unit * (WIDEST - NARROWEST)
    area = side * side
    highest = jnp.minimum(jnp.floor((side + 0.5) / ratio), float(side))
    highest = jnp.minimum(highest, jnp.rint(jnp.sqrt(area / ratio)))
    lowest = jnp.minimum(jnp.rint(jnp.sqrt(least * area / ratio)), highest)
    height = lowest + below(words[..., 1], highest - lowest + 1).astype(jnp.float32)
    # Rounding may have made it too small.
    height += (height * jnp.rint(height * ratio) < least * area).astype(jnp.float32)
    width = jnp.rint(height * ratio)
    fits = (height * width >= max(least * area, 1.0)) & (height <= side) & (width <= side)
    first = jnp.argmax(fits, axis=1)[:, None]

    def chosen(drawn: jax.Array) -> jax.Array:
        return jnp.take_along_axis(drawn, first, axis=1)[:, 0]

    found = fits.any(axis=1)
    height = jnp.where(found, chosen(height), float(side)).astype(jnp.int32)
    width = jnp.where(found, chosen(width), float(side)).astype(jnp.int32)
    top = below(chosen(words[..., 2]), side - height + 1)
    left = below(chosen(words[..., 3]), side - width + 1)
    return jnp.stack([top, left, height, width], axis=1)


def middle_boxes(count: int, side: int) -> jax.Array:
    """Return the middle of square images, `MIDDLE` of each side, as `random_boxes` does."""
    inner = max(1, int(MIDDLE * side))
    start = (side - inner + 1) // 2
    return jnp.broadcast_to(jnp.array([start, start, inner, inner], jnp.int32)[None], (count, 4))


def resize_boxes(image: jax.Array, boxes: jax.Array, mirrored: jax.Array, size: int) -> jax.Array:
    """Resize parts of images [B,H,W,C] to [B,size,size,C] of the same type.

    Each new pixel is made of the four nearest on each axis (see
    `velodrome.taskgen.data.images.resize_bicubic`); pixels outside of the part are not looked at.
    Bytes are rounded, and floats cut to [0, 1].

    Args:
      boxes: i32[B,4], top, left, height and width.
      mirrored: bool[B], which parts are mirrored left to right.
    """
    top, left, height, width = (boxes[:, place] for place in range(4))
    rows = _weights(top, height, image.shape[1], size)
    columns = _weights(left, width, image.shape[2], size)
    columns = jnp.where(mirrored[:, None, None], columns[:, ::-1], columns)
    # Products of matrices, in full precision: faster than gathers, and the weight 1 is exact.
    exact = jax.lax.Precision.HIGHEST
    pixels = image.astype(jnp.float32)
    pixels = jnp.einsum("bsh,bhwc->bswc", rows, pixels, precision=exact)
    pixels = jnp.einsum("btw,bswc->bstc", columns, pixels, precision=exact)
    if image.dtype == jnp.uint8:
        return jnp.clip(jnp.rint(pixels), 0.0, 255.0).astype(jnp.uint8)
    return jnp.clip(pixels, 0.0, 1.0)


def _weights(start: jax.Array, length: jax.Array, side: int, size: int) -> jax.Array:
    """Return f32[B,size,side], the weight of each old pixel in each new one along an axis."""
    scale = length.astype(jnp.float32) / size
    centre = (jnp.arange(size, dtype=jnp.float32) + 0.5)[None] * scale[:, None] - 0.5
    pixel = jnp.arange(side, dtype=jnp.int32)[None] - start[:, None]
    inside = (pixel >= 0) & (pixel < length[:, None])
    distance = jnp.abs(centre[:, :, None] - pixel.astype(jnp.float32)[:, None, :])
    weight = jnp.where(inside[:, None, :], _keys(distance), 0.0)
    return weight / weight.sum(axis=-1, keepdims=True)


def _keys(distance: jax.Array) -> jax.Array:
    """Return the weight of pixels at a distance (Keys 1981, with a = -0.5)."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return jnp.where(distance < 1, near, jnp.where(distance < 2, far, 0.0))
