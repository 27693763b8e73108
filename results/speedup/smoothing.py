"""Exponential moving averages of loss curves."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

# Evaluations averaged by one product with a triangular matrix: long curves in few passes.
_BLOCK = 64


def ema(
    values: Float[np.ndarray, "*lanes eval"], *, alpha: float, debias: bool
) -> Float[np.ndarray, "*lanes eval"]:
    """Exponential moving average along the last axis.

    Biased: ``x_0 = y_0``, ``x_i = alpha x_{i-1} + (1 - alpha) y_i``, so the first value keeps
    the weight ``alpha**i``. Debiased: weights ``alpha**(i-j)``, normalised to sum to one, as in
    Adam's moments (Kingma & Ba 2015, section 3), so the first value is one among equals.

    The average is linear in ``values``: the average of a mean over seeds is the mean of the
    averages. +inf stays +inf from its first evaluation on.

    Args:
      values: curves, without NaN.
      alpha: decay per evaluation, 0 <= alpha < 1; 0 gives the values back.
      debias: see above.

    Returns:
      float64 array of the same shape.
    """
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha must be in [0, 1), got {alpha}")
    smooth = values.astype(np.float64, copy=True)
    count = smooth.shape[-1]
    if alpha == 0 or count == 0:
        return smooth
    lost = ~np.isfinite(smooth)
    broken = bool(lost.any())
    if broken:
        # Set apart, because 0 * inf would spoil the products.
        lost = np.logical_or.accumulate(lost, axis=-1)
        smooth[lost] = 0.0
    size = min(_BLOCK, count)
    powers = alpha ** np.arange(size + 1)
    lag = np.subtract.outer(np.arange(size), np.arange(size))
    weights = np.where(lag >= 0, (1 - alpha) * powers[np.maximum(lag, 0)], 0.0)
    # What the values before a block still weigh in it: at first the first value, or nothing.
    carry = np.zeros(smooth.shape[:-1]) if debias else smooth[..., 0].copy()
    for start in range(0, count, size):
        block = smooth[..., start : start + size]
        length = block.shape[-1]
        block[...] = block @ weights[:length, :length].T + carry[..., None] * powers[1 : length + 1]
        carry = block[..., -1].copy()
    if debias:
        smooth /= 1 - alpha ** np.arange(1, count + 1)
    if broken:
        smooth[lost] = np.inf
    return smooth


def decay_of(time_constant: float) -> float:
    """The decay per evaluation of an average over ``time_constant`` evaluations.

    20 evaluations give 0.95. One or fewer give 0: no smoothing.
    """
    return max(0.0, 1.0 - 1.0 / time_constant) if time_constant > 0 else 0.0
