"""Exponential moving averages of loss curves."""

from __future__ import annotations

from typing import cast

import numpy as np
from jaxtyping import Float

# scipy has no type stubs.
from scipy.signal import lfilter  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]


def ema(
    values: Float[np.ndarray, "*lanes eval"], *, alpha: float, debias: bool
) -> Float[np.ndarray, "*lanes eval"]:
    """Return the exponential moving average along the last axis, in float64.

    Biased: ``x_0 = y_0``, ``x_i = alpha x_{i-1} + (1 - alpha) y_i``, so the first value keeps
    the weight ``alpha**i``. Debiased: weights ``alpha**(i-j)``, normalised to sum to one, as in
    Adam's moments (Kingma & Ba 2015, section 3), so no value weighs more for being the first.

    The average is linear in ``values``: the average of a mean over seeds is the mean of the
    averages. +inf stays +inf from its first evaluation on.

    Args:
      values: Curves, without NaN.
      alpha: Decay per evaluation, 0 <= alpha < 1; 0 returns the values.
    """
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha must be in [0, 1), got {alpha}")
    # The filter multiplies infinities by 0, so they are taken out first.
    lost = np.logical_or.accumulate(~np.isfinite(values), axis=-1)
    clean = np.where(lost, 0.0, values.astype(np.float64))
    if alpha == 0 or not clean.size:
        return np.where(lost, np.inf, clean)
    before = np.zeros_like(clean[..., :1]) if debias else alpha * clean[..., :1]
    smooth, _ = cast(
        "tuple[np.ndarray, np.ndarray]", lfilter([1 - alpha], [1, -alpha], clean, zi=before)
    )
    if debias:
        smooth /= 1 - np.power(alpha, np.arange(1, clean.shape[-1] + 1, dtype=np.int64))
    return np.where(lost, np.inf, smooth)


def decay_of(time_constant: float) -> float:
    """Return the decay per evaluation of an average over ``time_constant`` evaluations.

    20 evaluations give 0.95. One or fewer give 0: no smoothing.
    """
    return max(0.0, 1.0 - 1.0 / time_constant) if time_constant > 0 else 0.0
