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
    most_bins = jnp.full_like(every_bin, _MOST_BINS)
    time = _stripes(time_key, frames, length, _MOST_TIME * length, time_masks)
    freq = _stripes(freq_key, bins, every_bin, most_bins, freq_masks)
    return jnp.where(time[:, :, None] | freq[:, None, :], 0.0, features)


def _stripes(
    key: jax.Array, size: int, length: jax.Array, most: jax.Array, count: int
) -> jax.Array:
    """Return bool[B,size], true inside any of ``count`` stripes within the first ``length``.

    A stripe is shorter than ``most``, and no longer than the length. Many have nothing in them
    where ``most`` is small.
    """
    draws = jax.random.uniform(key, (2, len(length), count), jnp.float32)
    width = jnp.minimum(
        (draws[0] * most[:, None]).astype(jnp.int32), length.astype(jnp.int32)[:, None]
    )
    room = length[:, None] - width.astype(jnp.float32) + 1.0
    start = (draws[1] * room).astype(jnp.int32)
    place = jnp.arange(size, dtype=jnp.int32)[None, None]
    inside = (place >= start[:, :, None]) & (place < (start + width)[:, :, None])
    return inside.any(axis=1)
