"""Images as tokens: the first layer of networks that see an image as a row of patches."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx


class PatchEmbedding(nnx.Module):
    """A linear map of each patch: a convolution whose stride is its kernel's size, with bias.

    Rows and columns of pixels that do not fill a patch are left out, as the published code does;
    with a patch larger than the image there are no tokens at all.

    Args:
      patch_size: Height and width of a patch in pixels.
      channels: Colour channels.
      features: Numbers of a token.
      rngs: Draws the kernel, of shape [patch_size, patch_size, channels, features].
    """

    def __init__(self, patch_size: int, channels: int, features: int, *, rngs: nnx.Rngs):
        self.patch_size = patch_size
        shape = (patch_size, patch_size, channels, features)
        self.kernel = nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros((features,)))

    def __call__(self, image: jax.Array) -> jax.Array:
        """Maps f32[B,H,W,C] to f32[B,patches,features]."""
        batch, height, width, channels = image.shape
        side, features = self.patch_size, self.kernel.shape[-1]
        rows, columns = height // side, width // side
        cut = image[:, : rows * side, : columns * side]
        cut = cut.reshape(batch, rows, side, columns, side, channels).transpose(0, 1, 3, 2, 4, 5)
        patches = cut.reshape(batch, rows * columns, side * side * channels)
        return patches @ self.kernel[...].reshape(-1, features) + self.bias[...][None, None]
