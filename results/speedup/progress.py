"""Whether a run learns: it ends below its own first evaluation by more than evaluation noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

LEAST_MULTIPLE = 3.0
"""A run that makes progress falls by at least this multiple of the evaluation noise.

Of a sweep with many evaluations more is asked, see :class:`SweepNoise`.
"""
LEAST_FALL = 0.001
"""A run that makes progress falls by more than this share of its first loss as well.

Tuned Adam falls by at least 0.25% of it within 2,000 steps on each of the 110 tasks with published
curves of Adam (the next lowest falls by 1.1%); losses in float32 resolve about a millionth of it.
"""
# Upper quartile of the difference of two draws from a normal distribution, over its deviation.
_QUARTILE = 0.6745 * np.sqrt(2)
_LOWEST_ONE_IN = 10
# Noise estimated from M moves is raised by 1 + _FEW_MOVES / M: with 15 rates, one seed and three
# evaluations, under 5% of what is only noise is then taken for progress.
_FEW_MOVES = 30


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


@dataclass(frozen=True)
class SweepNoise:
    """The evaluation noise of a task, from all runs of the baseline.

    Attributes:
      pooled: The noise of one evaluation. The first one is left out: rates share it.
      multiple: Of n evaluations of a run at each rate, the lowest lies below their mean by up to
        sqrt(2 ln n) times the noise. The first loss is noisy too, so this is sqrt(2) times that.
    """

    pooled: float
    multiple: float

    @classmethod
    def of(
        cls, losses: Float[np.ndarray, "point seed eval"], *, evaluations: int = 0
    ) -> SweepNoise:
        """Pool the moves of all rates and seeds; a few of them tell little, and count for more.

        ``evaluations`` are those of a whole run, if the losses are only its beginning.
        """
        with np.errstate(invalid="ignore"):  # inf - inf: after a divergence
            moves = np.diff(losses[..., 1:], axis=-1)
        moves = moves[np.isfinite(moves)]
        lowest_of = losses.shape[0] * max(evaluations, losses.shape[-1])
        multiple = max(LEAST_MULTIPLE, 2 * float(np.sqrt(np.log(lowest_of))))
        if not moves.size:
            return cls(0.0, multiple)
        rise = float(np.quantile(moves, 0.75, method="inverted_cdf"))
        return cls(max(rise, 0.0) / _QUARTILE * (1 + _FEW_MOVES / moves.size), multiple)


def least_fall(
    losses: Float[np.ndarray, "*lanes eval"], noise: SweepNoise
) -> Float[np.ndarray, "*lanes"]:
    """Return by how much each run must fall below its first loss for it to have learned."""
    share = LEAST_FALL * np.abs(losses[..., 0])
    return np.maximum(share, noise.multiple * np.maximum(evaluation_noise(losses), noise.pooled))


def makes_progress(
    losses: Float[np.ndarray, "*lanes eval"],
    last: Float[np.ndarray, "*lanes"],
    noise: SweepNoise,
) -> Bool[np.ndarray, "*lanes"]:
    """Return which runs made progress, by their losses as measured and their last smoothed loss.

    Both sides of a comparison have the same ``noise``, that of the baseline's sweep.
    """
    with np.errstate(invalid="ignore"):  # inf - inf: absent, or lost before the first step
        return last < losses[..., 0] - least_fall(losses, noise)


def most(moved: Bool[np.ndarray, " seed"]) -> bool:
    """Return whether an optimizer makes progress at a point: most of its seeds do."""
    return bool(2 * moved.sum() > len(moved))


def sweep_makes_progress(
    losses: Float[np.ndarray, "point seed eval"],
    present: Bool[np.ndarray, "point seed"],
    noise: SweepNoise,
    *,
    within: int,
) -> bool:
    """Return whether most seeds of some rate make progress, for long enough to be no accident.

    As many evaluations must be that low as are a tenth of the first ``within``, those up to the
    candidates' horizon. A run's own noise is judged there too, so that a longer sweep makes
    progress wherever a shorter one does. The low ones need not be the last: a rate may diverge,
    and losses that are held out rise again.
    """
    with np.errstate(invalid="ignore"):  # inf - inf: absent, or lost before the first step
        limit = losses[..., 0] - least_fall(losses[..., :within], noise)
    low = (losses < limit[..., None]).sum(axis=-1) >= -(-within // _LOWEST_ONE_IN)
    return bool((2 * (low & present).sum(axis=1) > present.sum(axis=1)).any())
