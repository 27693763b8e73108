"""Batches with made-up content, for checks and timings: they need no data."""

from __future__ import annotations

import numpy as np

from velodrome.taskgen.schema import MASK, PADDING, Field, View


def made_up_batch(view: View, batch_size: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Return a batch of the right shapes and ranges, without padding; but tokens may be 0.

    Examples:
      >>> from velodrome.taskgen.views import ImageView
      >>> made_up_batch(ImageView(8, 1, 10), 4)["label"].shape
      (4,)
    """
    generator = np.random.Generator(np.random.Philox(seed))
    return {name: _made_up(field, batch_size, generator) for name, field in view.schema().items()}


def _made_up(field: Field, batch_size: int, generator: np.random.Generator) -> np.ndarray:
    shape = (batch_size, *field.shape)
    if field.role == PADDING:
        return np.zeros(shape, field.dtype)
    if field.role == MASK:
        return np.ones(shape, field.dtype)
    if field.below:
        return generator.integers(field.below, size=shape).astype(field.dtype)
    return generator.random(shape, np.float32).astype(field.dtype)
