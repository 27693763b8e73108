"""Whether a run learns: it ends below its own first evaluation by more than evaluation noise."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

NOISE_MULTIPLE = 3.0
"""A run makes progress if its loss falls by more than this multiple of its evaluation noise ..."""
LEAST_FALL = 0.001
"""... and by more than this share of its first loss.

Tuned Adam falls by at least 0.25% of it within 2,000 steps on each of the 110 tasks with published
curves of Adam (the next lowest falls by 1.1%); losses in float32 resolve about a millionth of it.
"""
# Upper quartile of the difference of two draws from a normal distribution, over its deviation.
_QUARTILE = 0.6745 * np.sqrt(2)
_LOWEST = 0.1


def evaluation_noise(losses: Float[np.ndarray, "*lanes eval"]) -> Float[np.ndarray, "*lanes"]:
    """Return the standard deviation of one evaluation, as far as it makes a curve go up and down.

    It is the rise that a quarter of all moves from one evaluation to the next exceed, so a trend
    is not noise, and neither are a few spikes. 0 where fewer moves than that go up.
    """
    if losses.shape[-1] < 2:
        return np.zeros(losses.shape[:-1])
    with np.errstate(invalid="ignore"):  # inf - inf: after a divergence
        moves = np.diff(losses, axis=-1)
    moves = np.where(np.isfinite(moves), moves, 0.0)
    return np.quantile(moves, 0.75, axis=-1, method="inverted_cdf").clip(min=0.0) / _QUARTILE


def least_fall(losses: Float[np.ndarray, "*lanes eval"]) -> Float[np.ndarray, "*lanes"]:
    """Return by how much each run must fall below its first loss for it to have learned."""
    share = LEAST_FALL * np.abs(losses[..., 0])
    return np.maximum(share, NOISE_MULTIPLE * evaluation_noise(losses))


def makes_progress(
    losses: Float[np.ndarray, "*lanes eval"], last: Float[np.ndarray, "*lanes"]
) -> Bool[np.ndarray, "*lanes"]:
    """Return which runs made progress, by their losses as measured and their last smoothed loss."""
    with np.errstate(invalid="ignore"):  # inf - inf: absent, or lost before the first step
        return last < losses[..., 0] - least_fall(losses)


def sweep_makes_progress(
    losses: Float[np.ndarray, "point seed eval"], present: Bool[np.ndarray, "point seed"]
) -> bool:
    """Return whether most seeds of some rate make progress, for long enough to be no accident.

    A tenth of a run's evaluations must be that low: not only the last ones, because a rate may
    diverge, and losses that are held out rise again.
    """
    low = np.quantile(losses, _LOWEST, axis=-1, method="inverted_cdf")
    moved = (makes_progress(losses, low) & present).sum(axis=1)
    return bool((2 * moved > present.sum(axis=1)).any())
