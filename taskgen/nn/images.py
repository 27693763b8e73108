"""What networks do with an image before anything else."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

# Mean and standard deviation of the colours of ImageNet, on a scale from 0 to 1; with three
# decimals they are the constants that nearly every network on ImageNet subtracts and divides by.
MEAN = np.array([123.675, 116.28, 103.53], np.float32) / np.float32(255)
STD = np.array([58.395, 57.12, 57.375], np.float32) / np.float32(255)


def standardize(image: jax.Array) -> jax.Array:
    """Subtract the mean of ImageNet from f32[B,H,W,C] in [0,1], and divide by its deviation.

    Images without three channels have the means of the three constants.
    """
    colours = image.shape[-1] == 3
    mean = MEAN if colours else MEAN.mean(keepdims=True)
    deviation = STD if colours else STD.mean(keepdims=True)
    return (image - jnp.asarray(mean)[None, None, None]) / jnp.asarray(deviation)[None, None, None]


def mix_images(
    image: jax.Array, concentration: float, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return f32[B,...], each image mixed with the one before it, and the part f32[] of itself.

    This is mixup (Zhang et al. 2017, arXiv 1710.09412) with one part for the whole batch, from
    Beta(concentration, concentration).
    """
    own = jax.random.beta(key, concentration, concentration, dtype=jnp.float32)
    return own * image + (1 - own) * jnp.roll(image, 1, axis=0), own
