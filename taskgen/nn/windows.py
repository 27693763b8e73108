"""Sizes of what windows make of an image. No jax here: closed-form costs need them."""

from __future__ import annotations


def padded_size(size: int, kernel: int, stride: int, padding: int | None) -> tuple[int, int, int]:
    """Return (output size, zeros before, zeros after) along one axis.

    The padding is "SAME", or ``padding`` zeros on each side. They differ at stride 2: "SAME" has
    one zero less before an even size than after it.
    """
    if padding is not None:
        return (size + 2 * padding - kernel) // stride + 1, padding, padding
    output = -(-size // stride)
    total = max((output - 1) * stride + kernel - size, 0)
    return output, total // 2, total - total // 2
