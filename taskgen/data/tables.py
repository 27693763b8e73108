"""Tables: numbers in columns, brought to one scale."""

from __future__ import annotations

import math

import numpy as np


def standardised(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return columns f64[N,F] as f32[N,F], of mean 0 and variance 1 over the rows ``train``.

    A column that is constant there becomes the difference to its value.
    """
    made = np.empty(values.shape, np.float32)
    for at, column in enumerate(values.T):
        seen = column[train]
        # Exact sums: those of numpy end in other digits on other machines, and the bytes are
        # hashed.
        mean = math.fsum(seen) / len(seen)
        scale = math.sqrt(math.fsum(np.square(seen - mean)) / len(seen))
        if seen.min() == seen.max():
            mean, scale = float(seen[0]), 1.0
        made[:, at] = (column - mean) / scale
    return made
