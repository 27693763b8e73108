"""The loss of reconstructed images, and how alike they are to what they should be (SSIM)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from velodrome.taskgen.functions import Batch, Metrics
from velodrome.taskgen.views import ReconstructionView

WINDOW = 7
K1, K2 = 0.01, 0.03


def reconstruction(output: jax.Array, batch: Batch, view: ReconstructionView) -> Metrics:
    """Return the absolute difference to the target, averaged over an image's pixels, and SSIM.

    Args:
      output: f32[B,H,W], in standard deviations like the target.
      batch: With "target" f32[B,H,W], and "mean", "std" and "volume_max", all f32[B].
    """
    del view
    target, count = batch["target"], jnp.asarray(len(output), jnp.float32)
    mean, std = batch["mean"][:, None, None], batch["std"][:, None, None]
    largest = jnp.where(batch["volume_max"] > 0, batch["volume_max"], 1.0)
    alike = ssim(output * std + mean, target * std + mean, largest)
    return {
        "loss": (jnp.abs(output - target).mean(axis=(1, 2)).sum(), count),
        "ssim": (alike.sum(), count),
    }


def ssim(one: jax.Array, other: jax.Array, largest: jax.Array) -> jax.Array:
    """Return the structural similarity of pairs of images, from -1 to 1.

    It is that of Wang et al. 2004 ("Image quality assessment") with square windows of 7 pixels,
    all alike, sample covariances, and only windows that lie inside the image. Images that are
    smaller than a window have 0.

    Args:
      one: f32[B,H,W].
      other: f32[B,H,W].
      largest: f32[B], the range of values.
    """
    if min(one.shape[1:]) < WINDOW:
        return jnp.zeros(len(one), one.dtype)
    # Moments about a constant near all values lose fewer digits than those about zero.
    middle = other.mean(axis=(1, 2), keepdims=True)
    x, y = one - middle, other - middle
    mean_x, mean_y, xx, yy, xy = map(_window_mean, (x, y, x * x, y * y, x * y))
    sample = WINDOW**2 / (WINDOW**2 - 1)
    variance_x, variance_y = sample * (xx - mean_x**2), sample * (yy - mean_y**2)
    covariance = sample * (xy - mean_x * mean_y)
    mean_x, mean_y = mean_x + middle, mean_y + middle
    c1, c2 = ((k * largest[:, None, None]) ** 2 for k in (K1, K2))
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    below = (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return jnp.clip((above / below).mean(axis=(1, 2)), -1.0, 1.0)


def _window_mean(x: jax.Array) -> jax.Array:
    """Map f32[B,H,W] to f32[B,H-6,W-6]."""
    rows = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, WINDOW, 1), (1, 1, 1), "VALID")
    sums = jax.lax.reduce_window(rows, 0.0, jax.lax.add, (1, 1, WINDOW), (1, 1, 1), "VALID")
    return sums / WINDOW**2
