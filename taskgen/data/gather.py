"""Batches gathered on the device: images shifted and mirrored, sequences of text, fields."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from velodrome.taskgen.data.crops import middle_boxes, random_boxes, resize_boxes
from velodrome.taskgen.data.randaugment import distorted, random_operations
from velodrome.taskgen.data.variation import NONE, Variation

# Cropping and distorting make arrays of float32 some times as large as the images. A processor has
# them in its cache up to here; a GPU is busy only with more.
_VALUES_AT_ONCE = {"cpu": 1 << 20}
_VALUES_ELSEWHERE = 1 << 26

Batch = dict[str, jax.Array]
"""A batch, or the arrays on the device that batches are gathered from."""


def gather_images(
    arrays: Batch,
    indices: jax.Array,
    key: jax.Array | None,
    *,
    augment: bool,
    size: int,
    variation: Variation,
) -> Batch:
    """Take the images ``indices`` i32[B] out of the arrays that ``prepare_images`` made.

    With ``augment``, ``key`` decides how they vary. Arrays are made with the same shift; where
    images are cropped, they may have any size.

    Returns:
      ``{"image": u8[B,size,size,C] or f32 in [0,1], "label": i32[B]}``; see `as_floats`.
    """
    assert key is not None or not augment or variation == NONE, "random changes need a key"
    take = _cropped if variation.crop else _shifted
    image = take(arrays["image"], indices, key if augment else None, size, variation)
    if augment and key is not None and variation.randaugment:
        image = _in_pieces(
            functools.partial(distorted, magnitude=variation.magnitude),
            _as_bytes(image),
            random_operations(key, len(indices), variation.randaugment, size),
        )
    return {"image": image, "label": arrays["label"][indices]}


def _shifted(
    stored: jax.Array, indices: jax.Array, key: jax.Array | None, size: int, variation: Variation
) -> jax.Array:
    shift, flip = variation.shift, variation.flip
    pixels = jnp.arange(size, dtype=jnp.int32)[None, :]
    down = right = jnp.full(indices.shape, shift, jnp.int32)
    mirrored = jnp.zeros(indices.shape, bool)
    if key is not None and (shift or flip):
        down, right, drawn = _draw(key, indices.shape, 2 * shift + 1)
        mirrored = drawn if flip else mirrored
    # One gather of pixels, whose indices are known to be inside: so shifting and mirroring cost
    # nothing on a CPU. Mirroring after the gather took six times as long, selecting among all
    # shifts three times.
    across = jnp.where(mirrored[:, None], pixels[:, ::-1], pixels) + right[:, None]
    at = (indices[:, None, None], (pixels + down[:, None])[:, :, None], across[:, None, :])
    return stored.at[at].get(mode="promise_in_bounds")


def _cropped(
    stored: jax.Array, indices: jax.Array, key: jax.Array | None, size: int, variation: Variation
) -> jax.Array:
    count, side = len(indices), stored.shape[1]
    mirrored = jnp.zeros((count,), bool)
    if key is None:
        boxes = middle_boxes(count, side)
    else:
        boxes = random_boxes(key, count, side, variation.crop)
        mirrored = _draw(key, (count,), 1)[2] if variation.flip else mirrored
    image = stored.at[indices].get(mode="promise_in_bounds")
    return _in_pieces(functools.partial(resize_boxes, size=size), image, boxes, mirrored)


def _in_pieces(function: Callable[..., jax.Array], image: jax.Array, *others: jax.Array):
    """Call a function of each image alone, for some of them at a time if they are large.

    All images of several batches that are made at once, by ``vmap``, count together.
    """

    @custom_vmap
    def call(*arrays: jax.Array) -> jax.Array:
        count, values = len(arrays[0]), arrays[0].size
        limit = _VALUES_AT_ONCE.get(jax.default_backend(), _VALUES_ELSEWHERE)
        at_once = max(1, limit * count // max(values, 1))
        if at_once >= count:
            return function(*arrays)
        piece = next(size for size in range(at_once, 0, -1) if count % size == 0)
        parts = [array.reshape(count // piece, piece, *array.shape[1:]) for array in arrays]
        made = jax.lax.map(lambda part: function(*part), tuple(parts))
        return made.reshape(count, *made.shape[2:])

    @call.def_vmap
    def _(size: int, batched: list[bool], *arrays: jax.Array) -> tuple[jax.Array, bool]:
        whole = [
            array if has else jnp.broadcast_to(array[None], (size, *array.shape))
            for array, has in zip(arrays, batched, strict=True)
        ]
        made = call(*(array.reshape(-1, *array.shape[2:]) for array in whole))
        return made.reshape(size, -1, *made.shape[1:]), True

    return call(image, *others)


def _as_bytes(image: jax.Array) -> jax.Array:
    if image.dtype == jnp.uint8:
        return image
    return jnp.rint(image * 255.0).astype(jnp.uint8)


def gather_text(
    arrays: Batch, indices: jax.Array, key: jax.Array | None, *, augment: bool, length: int
) -> Batch:
    """Take the sequences ``indices`` i32[B] out of ``{"rows": int[N,T+1]}`` or a stream.

    Returns:
      ``{"obs": i32[B,T], "target": i32[B,T]}``; ``target[:, i]`` follows ``obs[:, i]``.
    """
    del key, augment  # text has no augmentation
    if "rows" in arrays:
        rows = arrays["rows"].at[indices].get(mode="promise_in_bounds").astype(jnp.int32)
        return {"obs": rows[:, :-1], "target": rows[:, 1:]}
    tokens = arrays["tokens"]

    def take(index: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(tokens, (index * length,), (length + 1,))

    window = jax.vmap(take)(indices).astype(jnp.int32)
    return {"obs": window[:, :-1], "target": window[:, 1:]}


def gather_fields(
    arrays: Batch,
    indices: jax.Array,
    key: jax.Array | None,
    *,
    augment: bool,
    types: Mapping[str, str],
    scales: Mapping[str, float] | None = None,
) -> Batch:
    """Take the examples ``indices`` i32[B] out of arrays by field, and turn them into its type.

    ``scales`` are factors of fields, after that.
    """
    del key, augment
    batch = {name: arrays[name][indices].astype(dtype) for name, dtype in types.items()}
    return batch | {name: batch[name] * factor for name, factor in (scales or {}).items()}


def as_floats(batch: Batch) -> Batch:
    """Return the batch with pixels that are bytes as f32 in [0, 1]; another batch as it is."""
    image = batch.get("image")
    if image is None or image.dtype != jnp.uint8:
        return batch
    return {**batch, "image": image.astype(jnp.float32) / jnp.float32(255)}


def _draw(
    key: jax.Array, shape: tuple[int, ...], offsets: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Draw two offsets and a mirroring for each example, from one 32-bit word each."""
    # Raw bits rather than a library's distributions, which may change between versions. An
    # offset's probability is off by at most 2^-15.
    bits = jax.random.bits(key, shape, jnp.uint32)
    count = jnp.uint32(offsets)
    down = ((bits & jnp.uint32(0xFFFF)) * count) >> jnp.uint32(16)
    right = (((bits >> jnp.uint32(16)) & jnp.uint32(0x7FFF)) * count) >> jnp.uint32(15)
    mirrored = (bits >> jnp.uint32(31)) == jnp.uint32(1)
    return down.astype(jnp.int32), right.astype(jnp.int32), mirrored
