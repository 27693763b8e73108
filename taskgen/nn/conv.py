"""Convolution, pooling and patches of images, in the form that is fast where it runs."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from velodrome.taskgen.nn.windows import padded_size


def conv_kernel(size: int, channels: int, features: int, rngs: nnx.Rngs) -> nnx.Param:
    """Draw a square kernel f32[size,size,channels,features], LeCun normal."""
    shape = (size, size, channels, features)
    return nnx.Param(nnx.initializers.lecun_normal(dtype=jnp.float32)(rngs.params(), shape))


def conv2d(
    image: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: int | None = None
) -> jax.Array:
    """Convolve with "SAME" padding, or with ``padding`` zeros on each side.

    On a CPU the patches are laid out as a matrix and multiplied once (im2col): XLA:CPU runs the
    weight gradient of its own convolution 35 times slower inside ``lax.scan`` than outside, and
    a convolution ``vmap``-ed over kernels is slow everywhere. Elsewhere it is the native one.

    Args:
      image: f32[B,H,W,C].
      kernel: f32[KH,KW,C,F].
      stride: Along both axes, at least 1.

    Returns:
      f32[B,H',W',F]; with "SAME" padding, H' is H over the stride, rounded up, and so is W'.
    """
    if jax.default_backend() == "cpu":
        return conv2d_im2col(image, kernel, stride=stride, padding=padding)
    sides = "SAME" if padding is None else ((padding, padding), (padding, padding))
    return jax.lax.conv_general_dilated(
        image, kernel, (stride, stride), sides, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def conv2d_im2col(
    image: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: int | None = None
) -> jax.Array:
    """Do as :func:`conv2d` by one matrix product, with patches as rows: the form for CPUs.

    Among five forms timed inside a scan (one product, the same rematerialised, a product for each
    tap, a product for each row, the native forward with a hand-written gradient) this one was
    the fastest or within the noise of the fastest; the memory of all was alike.
    """
    kernel_height, kernel_width, channels, features = kernel.shape
    window = (kernel_height, kernel_width)
    taps = _shifted(image, window, stride, padding=padding, value=0.0)
    patches = jnp.concatenate(taps, axis=-1)
    return patches @ kernel.reshape(kernel_height * kernel_width * channels, features)


def max_pool(
    image: jax.Array, *, window: int, stride: int, padding: int | None = None
) -> jax.Array:
    """Return the maximum over square windows, with the padding of :func:`conv2d`.

    It is a maximum over shifted images: XLA:CPU runs the gradient of its own pooling one number at
    a time. Where several numbers of a window are the maximum, they share its gradient. Shapes are
    those of :func:`conv2d`.
    """
    return functools.reduce(
        jnp.maximum, _shifted(image, (window, window), stride, padding=padding, value=-jnp.inf)
    )


def _shifted(
    image: jax.Array, window: tuple[int, int], stride: int, *, padding: int | None, value: float
) -> list[jax.Array]:
    """Return, for each place in a window, what the windows of a padded image have there."""
    height, top, bottom = padded_size(image.shape[1], window[0], stride, padding)
    width, left, right = padded_size(image.shape[2], window[1], stride, padding)
    sides = ((0, 0), (top, bottom), (left, right), (0, 0))
    padded = jnp.pad(image, sides, constant_values=value)
    return [
        padded[
            :,
            row : row + (height - 1) * stride + 1 : stride,
            column : column + (width - 1) * stride + 1 : stride,
        ]
        for row in range(window[0])
        for column in range(window[1])
    ]


class PatchEmbedding(nnx.Module):
    """A linear map of each patch: a convolution whose stride is its kernel's size, with bias.

    It makes images into rows of tokens. Rows and columns of pixels that do not fill a patch are
    left out, as the published code does; a patch larger than the image gives no tokens at all.
    """

    def __init__(self, patch_size: int, channels: int, features: int, *, rngs: nnx.Rngs):
        self.patch_size = patch_size
        self.kernel = conv_kernel(patch_size, channels, features, rngs)
        self.bias = nnx.Param(jnp.zeros((features,), jnp.float32))

    def __call__(self, image: jax.Array) -> jax.Array:
        """Map f32[B,H,W,C] to f32[B,patches,features]."""
        batch, height, width, channels = image.shape
        side, features = self.patch_size, self.kernel.shape[-1]
        rows, columns = height // side, width // side
        cut = image[:, : rows * side, : columns * side]
        cut = cut.reshape(batch, rows, side, columns, side, channels).transpose(0, 1, 3, 2, 4, 5)
        patches = cut.reshape(batch, rows * columns, side * side * channels)
        return patches @ self.kernel[...].reshape(-1, features) + self.bias[...][None, None]
