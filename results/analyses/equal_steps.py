"""All optimizers of a task after equally many steps: final losses, and time to a common target.

The baseline stands for its rate with the lowest seed-mean loss after N steps, N being the
candidates' horizon. The common target is that loss: what the tuned baseline reaches in N steps.
"""

from __future__ import annotations

from collections.abc import Sequence
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
      losses: Final loss of each seed at its best rate; +inf if it diverged.
      time: Steps to the target: by the baseline's seed-mean curve; for a candidate the median
        over seeds. +inf if not within N.
      loss_draws: ``losses`` under each draw of seeds, the rate chosen again.
      time_draws: ``time`` under each draw, the target's rate chosen again too.
      initial: Seed-mean loss at step 0 of its best rate.
      rate_losses: Seed-mean final loss of every rate, ascending in the rate.
      rate_loss_draws: ``rate_losses`` under each draw.
      probability: Probability of each draw.
      paired: Whether it has the baseline's seeds, so that one draw of seeds serves both.
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


def optimizers(tasks: Sequence[Sequence[EqualSteps]]) -> list[str]:
    """Return the labels of all optimizers, in their order."""
    return list(dict.fromkeys(runs.label for task in tasks for runs in task))


def after_equal_steps(task: TaskComparison) -> tuple[EqualSteps, ...]:
    """Return the baseline and all candidates that ran to the shortest horizon.

    Empty without either.
    """
    envelope, outcomes = task.whole, [o for o in task.outcomes if o.speedups]
    if envelope is None or task.baseline is None or not outcomes:
        return ()
    horizon = min(outcome.cell.horizon for outcome in outcomes)
    theirs = envelope.sweep
    end = int(np.searchsorted(theirs.steps, horizon))
    if end >= len(theirs.steps) or theirs.steps[end] != horizon:
        return ()
    drawn = _Drawn(theirs, envelope.smoothed(end + 1)[:, :, : end + 1])
    targets = drawn.last.min(axis=0)
    if not np.isfinite(targets[0]):
        return ()  # no rate of the baseline survives N steps with all seeds
    times = np.full(len(targets), np.inf)
    for point in np.unique(drawn.best):
        curves = drawn.means(int(point), slice(0, end + 1))
        for draw in np.flatnonzero((drawn.best == point) & np.isfinite(targets)):
            # From the curve itself: a sum in another order may differ in its last digit.
            targets[draw] = curves[draw, -1]
            reached = np.minimum.accumulate(curves[draw])
            at = theirs.steps[: end + 1]
            times[draw] = steps_to_loss(at, reached, targets[draw : draw + 1])[0]
    found = [drawn.runs(task.baseline.label, times, baseline=True, paired=True)]
    for outcome in outcomes:
        sweep = outcome.train
        if sweep is None or outcome.cell.horizon != horizon:
            continue
        smooth = envelope.definition.smooth_candidate(sweep.losses)
        if sweep.horizon < horizon:  # every run diverged before its end
            smooth = np.full_like(smooth[:, :, :1], np.inf)
        mine, same_seeds = _Drawn(sweep, smooth), paired(sweep, theirs)
        # Where the baseline's draws are others, the target is that of its seeds as they are.
        goals = targets if same_seeds else np.full(len(mine.draws), targets[0])
        times = mine.times(sweep.steps[: smooth.shape[2]], goals)
        found.append(mine.runs(outcome.cell.label, times, baseline=False, paired=same_seeds))
    return tuple(found)


class _Drawn:
    """One optimizer's runs, first with the seeds as they are, then under each draw of them."""

    def __init__(self, sweep: Sweep, smooth: Float[np.ndarray, "point seed eval"]) -> None:
        draws, self.probability = multisets(len(sweep.seeds))
        self.draws = np.concatenate([np.arange(len(sweep.seeds))[None], draws])
        self.smooth = smooth
        self.means = DrawnMeans(smooth, sweep.present, self.draws)
        self.last = self.means.last()
        self.best = self.last.argmin(axis=0)

    def times(
        self, steps: np.ndarray, targets: Float[np.ndarray, " draw"]
    ) -> Float[np.ndarray, " draw"]:
        """Return the median over drawn seeds of the steps to each draw's target."""
        reached = np.minimum.accumulate(self.smooth, axis=2)
        # Steps of every run to every target: float[point, seed, draw].
        found = np.array(
            [[steps_to_loss(steps, run, targets) for run in point] for point in reached]
        )
        each = np.arange(len(self.draws))[:, None]
        return np.median(found[self.best[:, None], self.draws, each], axis=1)

    def runs(
        self, label: str, times: Float[np.ndarray, " draw"], *, baseline: bool, paired: bool
    ) -> EqualSteps:
        losses = self.smooth[:, :, -1][self.best[:, None], self.draws]
        return EqualSteps(
            label=label,
            baseline=baseline,
            losses=losses[0],
            time=float(times[0]),
            loss_draws=losses[1:],
            time_draws=times[1:],
            initial=float(self.means(int(self.best[0]), slice(0, 1))[0, 0]),
            rate_losses=self.last[:, 0],
            rate_loss_draws=self.last[:, 1:],
            probability=self.probability,
            paired=paired,
        )
