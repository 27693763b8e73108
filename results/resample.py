"""Speedups of one task under every distinct resample of its seeds.

The bootstrap draws seeds with replacement. With S seeds there are only C(2S-1, S) distinct draws
(10 for 3 seeds, 126 for 5), so all of them are computed once per task, with their probabilities;
an aggregate over tasks then draws from these tables. Whatever is chosen on the seeds is chosen
again inside each resample: the baseline's rates, and the candidate's if it has a sweep.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from jaxtyping import Float, Int

from results.curves import Sweep
from results.envelope import envelope
from results.speedup import Race, check_comparable, final_losses, ratios

# 12 seeds have 1,352,078 distinct resamples; beyond 5 a random subset is as good.
MAX_EXACT_SEEDS = 5
RANDOM_RESAMPLES = 200
# Pairs of draws when the two sides have other seeds: all of them up to here (3 and 4 seeds have
# 350), this many random ones beyond.
MAX_PAIRS = 400
# Resamples computed at once: bounds the memory at a few curves of the whole grid.
_CHUNK = 16


@dataclass(frozen=True)
class SeedResamples:
    """What a task's speedup would have been with other draws of the same seeds.

    Attributes:
      log2: log2 speedup of every drawn candidate seed, -inf when it diverged; censored values
        stand at the cap.
      probability: of each draw; sums to 1.
      cap_log2: log2 of the largest speedup that can be observed.
    """

    log2: Float[np.ndarray, "draw seed"]
    probability: Float[np.ndarray, " draw"]
    cap_log2: float

    def shifted(self, shift: float) -> SeedResamples:
        """The same with ``shift`` added to every log2 speedup."""
        return SeedResamples(self.log2 + shift, self.probability, self.cap_log2 + shift)


def multisets(count: int) -> tuple[Int[np.ndarray, "draw seed"], Float[np.ndarray, " draw"]]:
    """All draws of ``count`` out of ``count`` with replacement, and their probabilities.

    Above ``MAX_EXACT_SEEDS`` a fixed random set of draws, equally probable.

    Returns:
      Positions, ascending in each row; multinomial probabilities.
    """
    if count > MAX_EXACT_SEEDS:
        rng = np.random.default_rng(count)
        draws = np.sort(rng.integers(0, count, (RANDOM_RESAMPLES, count)), axis=1)
        return draws, np.full(RANDOM_RESAMPLES, 1 / RANDOM_RESAMPLES)
    draws = np.array(list(combinations_with_replacement(range(count), count)))
    weights = [
        math.factorial(count)
        / math.prod(math.factorial(int(n)) for n in np.bincount(row, minlength=count))
        / count**count
        for row in draws
    ]
    return draws.reshape(-1, count), np.array(weights)


def resample_seeds(race: Race, candidate: Sweep, *, horizon: int) -> SeedResamples:
    """Computes the table for one candidate on one task, in log2 of steps.

    With common seeds a draw takes the same seeds on both sides, which keeps the pairing of
    initialisation and data order; otherwise the two sides are drawn independently, see
    ``MAX_PAIRS``.
    """
    check_comparable(race.baseline, candidate)
    baseline = race.baseline
    targets = final_losses(candidate, race.definition, horizon=horizon)
    cap = float(race.budget / horizon)
    smooth = race.smoothed(len(candidate.steps))
    if candidate.seeds == baseline.seeds:
        theirs, probability = multisets(len(candidate.seeds))
        ours = theirs
    else:
        ours, theirs, probability = _pairs(len(baseline.seeds), len(candidate.seeds))
    result = np.empty((len(theirs), len(candidate.seeds)))
    for start in range(0, len(theirs), _CHUNK):
        rows = slice(start, start + _CHUNK)
        means = _weighted_means(smooth, baseline.present, ours[rows])
        for row, (mean, seeds) in enumerate(zip(means, theirs[rows], strict=True), start=start):
            drawn = np.where(candidate.present[:, seeds], targets[:, seeds], np.inf)
            chosen = drawn[int(np.argmin(drawn.mean(axis=1)))]
            reached = envelope(mean, kind=race.definition.envelope)
            if race.definition.seeds == "mean-curve":
                chosen = np.full(chosen.shape, chosen.mean())
            found = ratios(baseline.steps, reached, chosen, horizon=horizon)
            with np.errstate(divide="ignore"):
                result[row] = np.log2(np.minimum(found, cap))
    return SeedResamples(result, probability, math.log2(cap))


def _pairs(ours: int, theirs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Independent draws of ``ours`` and ``theirs`` seeds, and the probabilities of the pairs."""
    first, first_weight = multisets(ours)
    second, second_weight = multisets(theirs)
    if len(first) * len(second) <= MAX_PAIRS:
        at_first, at_second = (grid.ravel() for grid in np.indices((len(first), len(second))))
        return first[at_first], second[at_second], np.outer(first_weight, second_weight).ravel()
    rng = np.random.default_rng(0)
    at_first = rng.choice(len(first), MAX_PAIRS, p=first_weight)
    at_second = rng.choice(len(second), MAX_PAIRS, p=second_weight)
    return first[at_first], second[at_second], np.full(MAX_PAIRS, 1 / MAX_PAIRS)


def _weighted_means(
    losses: np.ndarray, present: np.ndarray, draws: Sequence[Sequence[int]] | np.ndarray
) -> Float[np.ndarray, "draw point eval"]:
    """Means over drawn seeds, +inf from the divergence of a drawn one on.

    Infinities are set apart first, because 0 * inf would spoil the product.
    """
    points, seeds, evals = losses.shape
    finite = np.isfinite(losses)
    ends = finite.sum(axis=2)  # a run is finite up to its divergence
    counts = np.stack([np.bincount(row, minlength=seeds) for row in np.asarray(draws)])
    weights = counts[:, None, :] * present[None, :, :]
    total = weights.sum(axis=2)
    clean = np.where(finite, losses, 0.0)
    means = np.einsum("dps,pse->dpe", weights / np.maximum(total, 1)[:, :, None], clean)
    end = np.where(weights > 0, ends[None], evals).min(axis=2)
    end = np.where(total > 0, end, 0)
    means[np.arange(evals)[None, None, :] >= end[:, :, None]] = np.inf
    return means
