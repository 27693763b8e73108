"""Speedups of one task under every distinct resample of its seeds.

The bootstrap draws seeds with replacement. With S seeds there are only C(2S-1, S) distinct draws
(10 for 3 seeds, 126 for 5), so all of them are computed once per task, with their probabilities;
an aggregate over tasks then draws from these tables. Whatever is chosen on the seeds is chosen
again inside each resample: the baseline's rates, and the candidate's if it has a sweep.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from jaxtyping import Bool, Float, Int

from velodrome.results.speedup.baseline import check_comparable
from velodrome.results.speedup.envelope import EnvelopeKind, Resampling, falling
from velodrome.results.speedup.progress import makes_progress
from velodrome.results.speedup.speedup import (
    BaselineEnvelope,
    final_losses,
    ratios,
)
from velodrome.results.store.curves import Sweep

# 12 seeds have 1,352,078 distinct resamples; beyond 5 a random subset is as good.
MAX_EXACT_SEEDS = 5
RANDOM_RESAMPLES = 200
# Pairs of draws when the two sides have other seeds: all of them up to here (3 and 4 seeds have
# 350), this many random ones beyond.
MAX_PAIRS = 400
# Evaluations for which it is decided at once which rates may be the lowest.
_BLOCK = 256


@dataclass(frozen=True)
class SeedResamples:
    """What a task's speedup would have been with other draws of the same seeds.

    Attributes:
      log2: Log2 speedup of every drawn candidate seed, -inf when it diverged; censored values
        stand at the cap.
      probability: Probability of each draw; they sum to 1.
      cap_log2: Log2 of the largest speedup that could be observed, see ``BaselineRuns.cap``.
    """

    log2: Float[np.ndarray, "draw seed"]
    probability: Float[np.ndarray, " draw"]
    cap_log2: float

    @property
    def censored(self) -> Bool[np.ndarray, "draw seed"]:
        """Which values the baseline had not reached."""
        return self.log2 >= self.cap_log2


def multisets(count: int) -> tuple[Int[np.ndarray, "draw seed"], Float[np.ndarray, " draw"]]:
    """Return all draws of ``count`` out of ``count`` with replacement, and their probabilities.

    Draws are positions, ascending in each row. Above ``MAX_EXACT_SEEDS`` they are a fixed random
    set, equally probable.
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


def paired(first: Sweep, second: Sweep) -> bool:
    """Return whether both have the same seeds, so that one draw of seeds serves both.

    If only some are common, the two are drawn independently all the same: draws of the common
    ones would have to be of fewer seeds than either has.
    """
    return first.seeds == second.seeds and not (first.own_seeds or second.own_seeds)


def resample_seeds(baseline: BaselineEnvelope, candidate: Sweep, *, horizon: int) -> SeedResamples:
    """Compute the table for one candidate on one task, in log2 of steps.

    If they are :func:`paired` a draw takes the same seeds on both sides, which keeps the pairing
    of initialisation and data order; otherwise the two sides are drawn independently, see
    ``MAX_PAIRS``.
    """
    sweep, definition, noise = baseline.sweep, baseline.definition, baseline.runs.noise(horizon)
    check_comparable(sweep, candidate)
    targets = final_losses(candidate, definition, horizon=horizon)
    moved = makes_progress(candidate.losses, targets, noise)
    if paired(candidate, sweep):
        theirs, probability = multisets(len(candidate.seeds))
        ours = theirs
    else:
        ours, theirs, probability = _pairs(len(sweep.seeds), len(candidate.seeds))
    # Draws of the baseline may recur among pairs; each is computed once.
    distinct, where = np.unique(ours, axis=0, return_inverse=True)
    reached = baseline.to_beat(
        resampled_envelopes(
            baseline.smoothed(len(candidate.steps)),
            sweep.present,
            distinct,
            kind=definition.envelope,
            onto=baseline.onto,
        ),
        horizon,
    )
    result = np.empty((len(theirs), len(candidate.seeds)))
    for row, (at, seeds) in enumerate(zip(where.ravel(), theirs, strict=True)):
        drawn = np.where(candidate.present[:, seeds], targets[:, seeds], np.inf)
        point = int(np.argmin(drawn.mean(axis=1)))
        chosen, learned = drawn[point], moved[point, seeds]
        if definition.seeds == "mean-curve":
            chosen = np.full(chosen.shape, chosen.mean())
            curve = candidate.losses[point, seeds].mean(axis=0)
            curves = np.broadcast_to(curve, (len(seeds), len(curve)))
            learned = makes_progress(curves, chosen, noise)
        result[row] = ratios(baseline.steps, reached[at], chosen, learned, horizon=horizon)
    cap = baseline.runs.cap(result, horizon)
    with np.errstate(divide="ignore"):
        return SeedResamples(np.log2(np.minimum(result, cap)), probability, math.log2(cap))


def resampled_envelopes(
    losses: Float[np.ndarray, "point seed eval"],
    present: Bool[np.ndarray, "point seed"],
    draws: Int[np.ndarray, "draw seed"],
    *,
    kind: EnvelopeKind = "oracle",
    onto: Resampling | None = None,
) -> Float[np.ndarray, "draw step"]:
    """Return the envelope under each draw of seeds, with the rates chosen again in each.

    Equal to ``envelope`` of the seed means of each draw, where smoothed ``losses`` are +inf from a
    divergence on.
    """
    evals = losses.shape[2]
    means = DrawnMeans(losses, present, draws)
    if kind == "single":
        best = means.last().argmin(axis=0)
        found = np.empty((len(draws), evals))
        for point in np.unique(best):
            found[best == point] = means(int(point), slice(0, evals))[best == point]
        return falling(found, onto)
    there = np.where(present[:, :, None], losses, np.inf)
    # Only those rates are averaged that some draw could make the lowest: the mean over any draw
    # lies between the lowest and the highest seed.
    lowest, bound = there.min(axis=1), there.max(axis=1).min(axis=0)
    found = np.full((len(draws), evals), np.inf)
    for start in range(0, evals, _BLOCK):
        block = slice(start, min(start + _BLOCK, evals))
        for point in np.flatnonzero((lowest[:, block] <= bound[block]).any(axis=1)):
            np.minimum(found[:, block], means(int(point), block), out=found[:, block])
    return falling(found, onto)


class DrawnMeans:
    """Means over drawn seeds, +inf from the divergence of a drawn one on.

    Call it with a grid point and a slice of evaluations for float64[draw, eval].
    """

    def __init__(
        self,
        losses: Float[np.ndarray, "point seed eval"],
        present: Bool[np.ndarray, "point seed"],
        draws: Int[np.ndarray, "draw seed"],
    ) -> None:
        """Prepare the weights; ``losses`` are +inf from a divergence on."""
        seeds = losses.shape[1]
        counts = np.stack([np.bincount(row, minlength=seeds) for row in draws])
        self._evals = losses.shape[2]
        finite = np.isfinite(losses)
        # Infinities are replaced first, because 0 * inf would spoil the product.
        self._clean = losses if finite.all() else np.where(finite, losses, 0.0)
        lengths: Int[np.ndarray, "point seed"] = finite.sum(axis=2)  # finite up to the divergence
        weights = counts[:, None, :] * present[None, :, :]
        total = weights.sum(axis=2)
        ends = np.where(weights > 0, lengths[None], self._evals).min(axis=2)
        self._ends = np.where(total > 0, ends, 0)
        self._weights = weights / np.maximum(total, 1)[:, :, None]

    def __call__(self, point: int, block: slice) -> Float[np.ndarray, "draw eval"]:
        """Return the means of one grid point; the slice has a start and a stop."""
        means = self._weights[:, point] @ self._clean[point, :, block]
        ends = self._ends[:, point]
        if ends.min() < block.stop:
            means[np.arange(block.start, block.stop)[None, :] >= ends[:, None]] = np.inf
        return means

    def last(self) -> Float[np.ndarray, "point draw"]:
        """Return the means of all grid points at the last evaluation."""
        end = slice(self._evals - 1, self._evals)
        return np.stack([self(point, end)[:, 0] for point in range(self._weights.shape[1])])


def _pairs(ours: int, theirs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw ``ours`` and ``theirs`` seeds independently; with the probabilities of the pairs."""
    first, first_weight = multisets(ours)
    second, second_weight = multisets(theirs)
    if len(first) * len(second) <= MAX_PAIRS:
        at_first, at_second = (grid.ravel() for grid in np.indices((len(first), len(second))))
        return first[at_first], second[at_second], np.outer(first_weight, second_weight).ravel()
    rng = np.random.default_rng(0)
    at_first = rng.choice(len(first), MAX_PAIRS, p=first_weight)
    at_second = rng.choice(len(second), MAX_PAIRS, p=second_weight)
    return first[at_first], second[at_second], np.full(MAX_PAIRS, 1 / MAX_PAIRS)
