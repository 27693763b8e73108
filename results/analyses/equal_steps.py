"""All optimizers of a task after equally many steps: final losses, and times to common targets.

The baseline stands for its rate with the lowest seed-mean loss after N steps, N being the
candidates' horizon. The common targets are what this run has reached after some shares of N, so
they depend on no candidate, and leave time to get there. AlgoPerf has one, at 75% of the budget
(Dahl et al. 2023, arXiv 2306.07179, section 4.3).
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

TARGETS = (0.25, 0.5, 0.75)
"""Shares of N after which the tuned baseline's loss is a target."""


@dataclass(frozen=True)
class EqualSteps:
    """One optimizer on one task after N steps. Losses are smoothed as in ``default``.

    Attributes:
      losses: Final loss of each seed at its best rate; +inf if it diverged.
      progress: Whether it makes progress; some optimizer of the task does.
      times: Steps to each target, at least those to the first evaluation: by the baseline's
        seed-mean curve; for a candidate the median over seeds. +inf if not within N, and without
        progress. Where the baseline makes no progress it sets no target: then every optimizer that
        does has N.
      loss_draws: ``losses`` under each draw of seeds, the rate chosen again.
      time_draws: ``times`` under each draw, the targets' rate chosen again too.
      initial: Seed-mean loss at step 0 of its best rate.
      rate_losses: Seed-mean final loss of every rate, ascending in the rate, or in the order of a
        list of trials.
      rate_loss_draws: ``rate_losses`` under each draw.
      probability: Probability of each draw.
      paired: Whether it has the baseline's seeds, so that one draw of seeds serves both.
      in_order: Whether the sweep is a list of trials in their order.
    """

    label: str
    baseline: bool
    progress: bool
    losses: Float[np.ndarray, " seed"]
    times: Float[np.ndarray, " target"]
    loss_draws: Float[np.ndarray, "draw seed"]
    time_draws: Float[np.ndarray, "draw target"]
    initial: float
    rate_losses: Float[np.ndarray, " point"]
    rate_loss_draws: Float[np.ndarray, "point draw"]
    probability: Float[np.ndarray, " draw"]
    paired: bool
    in_order: bool = False


def optimizers(tasks: Sequence[Sequence[EqualSteps]]) -> list[str]:
    """Return the labels of all optimizers, in their order."""
    return list(dict.fromkeys(runs.label for task in tasks for runs in task))


def after_equal_steps(task: TaskComparison) -> tuple[EqualSteps, ...]:
    """Return the baseline and all candidates that ran to the shortest horizon.

    Empty without either, and for tasks that are saturated or on which nobody makes progress.
    """
    envelope, outcomes = task.whole, [o for o in task.outcomes if o.compared]
    if envelope is None or task.baseline is None or not outcomes:
        return ()
    if task.saturated or not task.learnable:
        return ()
    horizon = min(outcome.cell.horizon for outcome in outcomes)
    theirs, learns = envelope.sweep, envelope.runs.progress(task.horizon)
    end = int(np.searchsorted(theirs.steps, horizon))
    if end >= len(theirs.steps) or theirs.steps[end] != horizon:
        return ()
    drawn = _Drawn(theirs, envelope.smoothed(end + 1)[:, :, : end + 1])
    lowest = drawn.last.min(axis=0)
    if not np.isfinite(lowest[0]):
        return ()  # no rate of the baseline survives N steps with all seeds
    steps = theirs.steps[: end + 1]
    places = np.maximum(1, np.searchsorted(steps, horizon * np.array(TARGETS)))
    times = np.full((len(lowest), len(places)), np.inf)
    targets = times.copy()
    for point in np.unique(drawn.best):
        curves = drawn.means(int(point), slice(0, end + 1))
        for draw in np.flatnonzero((drawn.best == point) & np.isfinite(lowest)):
            reached = np.minimum.accumulate(curves[draw])
            targets[draw] = reached[places]
            times[draw] = steps_to_loss(steps, reached, targets[draw])

    def fair(times: np.ndarray, *, progress: bool) -> np.ndarray:
        """Count nothing below the first evaluation: it was not measured."""
        if not progress:
            return np.full_like(times, np.inf)
        return np.maximum(times, steps[1]) if learns else np.full_like(times, horizon)

    times = fair(times, progress=learns)
    label = task.baseline.label
    found = [drawn.runs(label, times, progress=learns, baseline=True, paired=True)]
    for outcome in outcomes:
        sweep = outcome.train
        if sweep is None or outcome.cell.horizon != horizon:
            continue
        smooth = envelope.definition.smooth_candidate(sweep.losses)
        if sweep.horizon < horizon:  # every run diverged before its end
            smooth = np.full_like(smooth[:, :, :1], np.inf)
        mine, same_seeds = _Drawn(sweep, smooth), paired(sweep, theirs)
        # Where the baseline's draws are others, the target is that of its seeds as they are.
        goals = targets if same_seeds else np.tile(targets[0], (len(mine.draws), 1))
        times = fair(mine.times(sweep.steps[: smooth.shape[2]], goals), progress=outcome.progress)
        label, progress = outcome.cell.label, outcome.progress
        found.append(mine.runs(label, times, progress=progress, baseline=False, paired=same_seeds))
    return tuple(found)


class _Drawn:
    """One optimizer's runs, first with the seeds as they are, then under each draw of them."""

    def __init__(self, sweep: Sweep, smooth: Float[np.ndarray, "point seed eval"]) -> None:
        draws, self.probability = multisets(len(sweep.seeds))
        self.in_order = sweep.in_order
        self.draws = np.concatenate([np.arange(len(sweep.seeds))[None], draws])
        self.smooth = smooth
        self.means = DrawnMeans(smooth, sweep.present, self.draws)
        self.last = self.means.last()
        self.best = self.last.argmin(axis=0)

    def times(
        self, steps: np.ndarray, targets: Float[np.ndarray, "draw target"]
    ) -> Float[np.ndarray, "draw target"]:
        """Return the median over drawn seeds of the steps to each draw's targets."""
        reached = np.minimum.accumulate(self.smooth, axis=2)
        # Steps of every run to every target: float[point, seed, draw, target].
        found = np.array(
            [[steps_to_loss(steps, run, targets) for run in point] for point in reached]
        )
        each = np.arange(len(self.draws))[:, None]
        return np.median(found[self.best[:, None], self.draws, each], axis=1)

    def runs(
        self,
        label: str,
        times: Float[np.ndarray, "draw target"],
        *,
        progress: bool,
        baseline: bool,
        paired: bool,
    ) -> EqualSteps:
        losses = self.smooth[:, :, -1][self.best[:, None], self.draws]
        return EqualSteps(
            label=label,
            baseline=baseline,
            progress=progress,
            losses=losses[0],
            times=times[0],
            loss_draws=losses[1:],
            time_draws=times[1:],
            initial=float(self.means(int(self.best[0]), slice(0, 1))[0, 0]),
            rate_losses=self.last[:, 0],
            rate_loss_draws=self.last[:, 1:],
            probability=self.probability,
            paired=paired,
            in_order=self.in_order,
        )
