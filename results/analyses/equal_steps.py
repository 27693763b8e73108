"""All optimizers of a task after equally many steps: final losses, and time to a common target.

The baseline stands for its rate with the lowest seed-mean loss after N steps, N being the
candidates' horizon. The common target is that loss: what the tuned baseline reaches in N steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from velodrome.results.speedup.comparison import TaskComparison
from velodrome.results.speedup.envelope import steps_to_loss
from velodrome.results.speedup.resample import DrawnMeans, multisets, paired
from velodrome.results.store.curves import Sweep


@dataclass(frozen=True)
class EqualSteps:
    """One optimizer on one task after N steps. Losses are smoothed as in ``default``.

    Attributes:
      label: the optimizer.
      baseline: whether it is the baseline.
      losses: final loss of each seed at its best rate; +inf if it diverged.
      time: steps to the target: of the baseline's seed-mean curve; of a candidate the median over
        seeds. +inf if not within N.
      loss_draws: ``losses`` under each draw of seeds, the rate chosen again.
      time_draws: ``time`` under each draw, the target's rate chosen again too.
      initial: seed-mean loss at step 0 of its best rate.
      rate_losses: seed-mean final loss of every rate, ascending in the rate.
      rate_loss_draws: the same under each draw.
      probability: of each draw.
      paired: whether it has the baseline's seeds, so that one draw of seeds is one of both.
    """

    label: str
    baseline: bool
    losses: Float[np.ndarray, " seed"]
    time: float
    loss_draws: Float[np.ndarray, "draw seed"]
    time_draws: Float[np.ndarray, " draw"]
    initial: float
    rate_losses: Float[np.ndarray, " point"]
    rate_loss_draws: Float[np.ndarray, "point draw"]
    probability: Float[np.ndarray, " draw"]
    paired: bool


def after_equal_steps(task: TaskComparison) -> tuple[EqualSteps, ...]:
    """The baseline and all candidates that ran to the shortest horizon; empty without either."""
    race = task.races.get("default")
    outcomes = [o for o in task.outcomes if o.speedups and o.train is not None]
    if race is None or task.baseline is None or task.incomplete or not outcomes:
        return ()
    horizon = min(outcome.cell.horizon for outcome in outcomes)
    outcomes = [outcome for outcome in outcomes if outcome.cell.horizon == horizon]
    theirs = race.baseline
    end = int(np.searchsorted(theirs.steps, horizon))
    if end >= len(theirs.steps) or theirs.steps[end] != horizon:
        return ()
    steps = theirs.steps[: end + 1]
    smooth = race.smoothed(end + 1)[:, :, : end + 1]
    draws, probability = _draws(len(theirs.seeds))
    means = DrawnMeans(smooth, theirs.present, draws)
    last = means.last()
    best = last.argmin(axis=0)
    targets = last.min(axis=0)
    if not np.isfinite(targets[0]):
        return ()  # no rate of the baseline survives N steps with all seeds
    times = np.full(len(draws), np.inf)
    for point in np.unique(best):
        curves = means(int(point), slice(0, end + 1))
        for draw in np.flatnonzero((best == point) & np.isfinite(targets)):
            # From the curve itself: a sum in another order may differ in its last digit.
            targets[draw] = curves[draw, -1]
            reached = np.minimum.accumulate(curves[draw])
            times[draw] = steps_to_loss(steps, reached, targets[draw : draw + 1])[0]
    final = np.where(theirs.present[:, :, None], smooth, np.inf)[:, :, -1]
    losses = final[best[:, None], draws]
    found = [
        EqualSteps(
            task.baseline.label, True, losses[0], float(times[0]), losses[1:], times[1:],
            float(means(int(best[0]), slice(0, 1))[0, 0]), last[:, 0], last[:, 1:],
            probability, True,
        )
    ]  # fmt: skip
    for outcome in outcomes:
        assert outcome.train is not None  # chosen above
        curves = race.definition.smooth_candidate(outcome.train.losses)
        found.append(
            _candidate(outcome.cell.label, outcome.train, curves, horizon, theirs, targets)
        )
    return tuple(found)


def _candidate(
    label: str,
    sweep: Sweep,
    smooth: np.ndarray,
    horizon: int,
    baseline: Sweep,
    targets: np.ndarray,
) -> EqualSteps:
    if sweep.horizon < horizon:  # every run diverged before its end
        smooth = np.full((*smooth.shape[:2], 1), np.inf)
    same_seeds = paired(sweep, baseline)
    draws, probability = _draws(len(sweep.seeds))
    means = DrawnMeans(smooth, sweep.present, draws)
    last = means.last()
    best = last.argmin(axis=0)
    present = np.where(sweep.present[:, :, None], smooth, np.inf)
    losses = present[:, :, -1][best[:, None], draws]
    if not same_seeds:
        # The baseline's draws are others: its target is the one of the seeds as they are.
        targets = np.full(len(draws), targets[0])
    # Steps of every run to every target: float[point, seed, draw].
    steps = np.stack(
        [
            [
                steps_to_loss(sweep.steps[: smooth.shape[2]], np.minimum.accumulate(c), targets)
                for c in rows
            ]
            for rows in present
        ]
    )
    times = np.median(steps[best[:, None], draws, np.arange(len(draws))[:, None]], axis=1)
    return EqualSteps(
        label, False, losses[0], float(times[0]), losses[1:], times[1:],
        float(means(int(best[0]), slice(0, 1))[0, 0]), last[:, 0], last[:, 1:], probability,
        same_seeds,
    )  # fmt: skip


def _draws(seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """The seeds as they are, followed by all draws; probabilities of the latter."""
    draws, probability = multisets(seeds)
    return np.concatenate([np.arange(seeds)[None], draws]), probability
