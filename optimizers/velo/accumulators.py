"""Decays of VeLO's accumulators, and the mean that all of its sums over a tensor end in.

Three momenta, one second moment and three factored second moments (as in Adafactor, Shazeer and
Stern 2018, arXiv 1804.04235), none of them bias-corrected (Metz et al. 2022, arXiv 2211.09760).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

#: Of the momenta, and again of the factored second moments.
DECAYS = np.asarray((0.9, 0.99, 0.999), np.float32)

#: Of the second moment.
SECOND_DECAY = np.float32(0.999)

#: Added to squared gradients before they are averaged over rows, columns, or (in vectors) time.
TINY = 1e-30

# Gradients are cut off here before anything else sees them.
_CLIP = 1000.0


def average(old: Array, new: Array) -> Array:
    """Returns the exponential averages with `DECAYS`, which run along the first axis of both."""
    decays = DECAYS.reshape((3,) + (1,) * (old.ndim - 1))
    return jnp.asarray(decays) * old + jnp.asarray(np.float32(1.0) - decays) * new


def average_second(old: Array, new: Array) -> Array:
    """Returns the exponential average with `SECOND_DECAY`."""
    return SECOND_DECAY * old + (np.float32(1.0) - SECOND_DECAY) * new


def clip(gradient: Array) -> Array:
    """Returns the gradient with each element cut off at 1000."""
    return jnp.clip(gradient, -_CLIP, _CLIP)


def safe_rsqrt(x: Array) -> Array:
    """Returns ``1 / sqrt(max(x, 1e-9))``."""
    return jax.lax.rsqrt(jnp.maximum(x, 1e-9))
