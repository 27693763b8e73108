"""SpecAugment (Park et al. 2019, arXiv 1904.08779): stripes of time and of frequency set to 0."""

from __future__ import annotations

import jax
import jax.numpy as jnp

_MOST_BINS = 27
_MOST_TIME = 0.05


def spec_augment(
    features: jax.Array, padding: jax.Array, key: jax.Array, *, time_masks: int, freq_masks: int
) -> jax.Array:
    """Mask f32[B,T,bins], with ``padding`` f32[B,T]; the sizes are those of AlgoPerf.

    Each stripe of time has up to 5% of the true length, each stripe of frequency up to 26 of 80
    bins; stripes may overlap. 0 is the mean of a normalised feature.
    """
    batch, frames, bins = features.shape
    length = frames - padding.sum(axis=1)
    time_key, freq_key = jax.random.split(key)
    every_bin = jnp.full((batch,), float(bins), jnp.float32)
    time = _stripes(time_key, frames, length, _MOST_TIME * length, _MOST_TIME, time_masks)
    freq = _stripes(
        freq_key, bins, every_bin, jnp.full_like(every_bin, _MOST_BINS), 1.0, freq_masks
    )
    return jnp.where(time[:, :, None] | freq[:, None, :], 0.0, features)


def _stripes(
    key: jax.Array, size: int, length: jax.Array, most: jax.Array, share: float, count: int
) -> jax.Array:
    """Return bool[B,size], true inside any of ``count`` stripes within the first ``length``.

    A stripe is shorter than ``most``, and at most ``share`` of the length, but may have 1.
    """
    draws = jax.random.uniform(key, (2, len(length), count), jnp.float32)
    limit = jnp.maximum((share * length).astype(jnp.int32), 1)[:, None]
    width = jnp.minimum((draws[0] * most[:, None]).astype(jnp.int32), limit)
    room = length[:, None] - width.astype(jnp.float32) + 1.0
    start = (draws[1] * room).astype(jnp.int32)
    place = jnp.arange(size, dtype=jnp.int32)[None, None]
    inside = (place >= start[:, :, None]) & (place < (start + width)[:, :, None])
    return inside.any(axis=1)
