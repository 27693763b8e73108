"""Batches gathered on the device: images shifted and mirrored, sequences of text, fields."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

Batch = dict[str, jax.Array]
"""A batch, or the arrays on the device that batches are gathered from."""


def gather_images(
    arrays: Batch,
    indices: jax.Array,
    key: jax.Array | None,
    *,
    augment: bool,
    shift: int,
    flip: bool,
) -> Batch:
    """Take the images ``indices`` i32[B] out of the arrays that ``prepare_images`` made.

    With ``augment``, ``key`` decides shifts, of up to ``shift`` pixels as when the arrays were
    made, and mirrorings of half of the images.

    Returns:
      ``{"image": u8[B,size,size,C] or f32 in [0,1], "label": i32[B]}``; see `as_floats`.
    """
    stored = arrays["image"]
    pixels = jnp.arange(stored.shape[1] - 2 * shift, dtype=jnp.int32)[None, :]
    down = right = jnp.full(indices.shape, shift, jnp.int32)
    mirrored = jnp.zeros(indices.shape, bool)
    if augment and (shift or flip):
        assert key is not None, "random shifts and flips need a key"
        down, right, drawn = _draw(key, indices.shape, 2 * shift + 1)
        mirrored = drawn if flip else mirrored
    # One gather of pixels, whose indices are known to be inside: so shifting and mirroring cost
    # nothing on a CPU. Mirroring after the gather took six times as long, selecting among all
    # shifts three times.
    across = jnp.where(mirrored[:, None], pixels[:, ::-1], pixels) + right[:, None]
    at = (indices[:, None, None], (pixels + down[:, None])[:, :, None], across[:, None, :])
    image = stored.at[at].get(mode="promise_in_bounds")
    return {"image": image, "label": arrays["label"][indices]}


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
