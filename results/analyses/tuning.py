"""Learning rates: how sensitive a task is to them, and what k trials of a sweep are worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import comb

from velodrome.results.analyses.equal_steps import EqualSteps, optimizers
from velodrome.results.speedup.comparison import TaskComparison
from velodrome.results.speedup.definitions import DEFINITIONS
from velodrome.results.speedup.envelope import best_point
from velodrome.results.speedup.progress import SweepNoise, makes_progress, most
from velodrome.results.speedup.stats import band, positions, uniforms
from velodrome.results.store.curves import TRIAL, Sweep, seed_mean

SENSITIVITY_COLUMNS = (
    "index", "task", "family", "label", "point", "rate", "steps", "loss", "low", "high", "initial",
    "best", "progress", "near_best", "edge",
)  # fmt: skip
"""Columns of :func:`sensitivity_rows`.

``point`` names every swept hyperparameter. ``loss`` is the smoothed seed-mean loss after ``steps``,
``low`` and ``high`` the lowest and highest seed (+inf when diverged), ``initial`` the loss at step
0. ``best`` marks the point with the lowest loss, ``progress`` says whether that one makes progress.
If it does, ``edge`` says whether it is at an end of the grid, so that a better one may lie beyond,
and ``near_best`` marks the points that come within 10% of its way from the initial loss.
"""
TUNING_COLUMNS = ("label", "trials", "progress", "low", "high", "tasks")
NEAR = 0.1
WITHIN = 2
"""A sensible grid has the rates within two steps of the best one."""


def expected_best(losses: Float[np.ndarray, "*lead trial"]) -> Float[np.ndarray, "*lead k"]:
    """Return the expected lowest of k out of N finite losses, for k = 1 ... N.

    It is the mean over all subsets of k trials, and the best of all for k = N, as for the points
    of a grid (Tang et al. 2020, arXiv 2004.13705).

    Example:
      >>> import numpy as np
      >>> expected_best(np.array([3.0, 1.0, 2.0]))  # (1+2+3)/3, (1+1+2)/3, 1
      array([2.        , 1.33333333, 1.        ])
    """
    ordered = np.sort(losses, axis=-1)
    count = ordered.shape[-1]
    rank, k = np.arange(count)[:, None], np.arange(1, count + 1)[None, :]
    # Probability that the best of k trials is the one of this rank.
    return ordered @ (comb(count - rank - 1, k - 1) / comb(count, k))


def first_best(losses: Float[np.ndarray, "*lead trial"]) -> Float[np.ndarray, "*lead k"]:
    """Return the lowest of the first k losses, for k = 1 ... N."""
    return np.minimum.accumulate(losses, axis=-1)


def sensitivity_rows(task: TaskComparison) -> list[dict[str, object]]:
    """Return last losses of every point of every sweep on a task; see :data:`SENSITIVITY_COLUMNS`.

    The baseline's are those at the candidates' horizons, and at the end of its budget if all rates
    went there; none if planned runs of it are missing.
    """
    rows: list[dict[str, object]] = []
    if task.baseline is None or not task.envelopes:
        return rows
    noise = task.envelopes["default"].runs.noise(task.horizon)
    if task.whole is not None and len(task.whole.sweep.points) > 1:
        smooth = task.whole.smoothed(task.evaluations)
        horizons = {o.cell.horizon for o in task.outcomes}
        if not task.whole.runs.raced:
            horizons.add(task.baseline.horizon)
        for steps in sorted(horizons):
            rows += _rows(task, task.baseline.label, task.whole.sweep, smooth, steps, noise)
    for outcome in task.outcomes:
        if outcome.train is not None and len(outcome.train.points) > 1:
            smooth = DEFINITIONS["default"].smooth_candidate(outcome.train.losses)
            label, steps = outcome.cell.label, outcome.cell.horizon
            rows += _rows(task, label, outcome.train, smooth, steps, noise)
    return rows


def point_learns(
    sweep: Sweep,
    smooth: Float[np.ndarray, "point seed eval"],
    point: int,
    evaluations: int,
    noise: SweepNoise,
) -> bool:
    """Return whether a point makes progress within the first evaluations of its runs."""
    there = sweep.present[point]
    losses, last = sweep.losses[point, there, :evaluations], smooth[point, there, evaluations - 1]
    return most(makes_progress(losses, last, noise))


def _rows(
    task: TaskComparison,
    label: str,
    sweep: Sweep,
    smooth: np.ndarray,
    steps: int,
    noise: SweepNoise,
) -> list[dict[str, object]]:
    at = int(np.searchsorted(sweep.steps, steps))
    if at >= len(sweep.steps) or sweep.steps[at] != steps:
        return []
    means = seed_mean(smooth, sweep.present)
    last = means[:, at]
    best = best_point(means[:, : at + 1])
    initial = float(means[best, 0])
    learns = point_learns(sweep, smooth, best, at + 1, noise)
    limit = last[best] + NEAR * max(0.0, initial - float(last[best]))
    return [
        {
            **task.about,
            "label": label,
            "point": point_text(sweep.points, place),
            "rate": rate_of(point),
            "steps": steps,
            "loss": float(last[place]),
            "low": float(smooth[place, :, at].min()),
            "high": float(smooth[place, :, at].max()),
            "initial": initial,
            "best": place == best,
            "progress": learns,
            "near_best": learns and bool(last[place] <= limit),
            "edge": learns and at_edge(sweep.points, best),
        }
        for place, point in enumerate(sweep.points)
    ]


def tuning_curves(tasks: Sequence[Sequence[EqualSteps]]) -> pd.DataFrame:
    """Return the expected best of k trials of each optimizer, all after equally many steps.

    Trials are drawn at random from a grid, and in their order from a list: it is made to be tried
    from its beginning.

    Losses become progress: 0 at the baseline's initial loss or above (diverged runs too), 1 at
    the lowest loss that any optimizer's seed mean ends at on the task; averaged over tasks. The
    trial with the best seed-mean loss wins. Optimizers without a sweep have one trial; those whose
    sweeps have other numbers of points on some tasks are left out. Intervals are for the same tasks
    and new seeds.
    """
    rows = []
    for label in optimizers(tasks):
        mine = [(task, runs) for task in tasks for runs in task if runs.label == label]
        sizes = {len(runs.rate_losses) for _, runs in mine}
        if len(sizes) != 1:  # no common number of trials
            continue
        values, draws = [], []
        _, uniform = uniforms(len(mine), new_tasks=False)
        for place, (task, runs) in enumerate(mine):
            bottom = min(float(other.rate_losses.min()) for other in task)
            top = next(other.initial for other in task if other.baseline)
            best = first_best if runs.in_order else expected_best
            values.append(-best(-_progress(runs.rate_losses, top, bottom)))
            table = -best(-_progress(runs.rate_loss_draws.T, top, bottom))
            draws.append(table[positions(runs.probability, uniform[:, place])])
        means = np.mean(draws, axis=0)
        low, high = band(means)
        for k, value in enumerate(np.mean(values, axis=0)):
            rows.append(
                {
                    "label": label, "trials": k + 1, "progress": float(value),
                    "low": float(low[k]), "high": float(high[k]), "tasks": len(mine),
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(TUNING_COLUMNS))


def in_order_labels(tasks: Sequence[Sequence[EqualSteps]]) -> tuple[str, ...]:
    """Return the labels of optimizers whose sweep is a list of trials in their order."""
    return tuple(dict.fromkeys(runs.label for task in tasks for runs in task if runs.in_order))


def _progress(losses: np.ndarray, top: float, bottom: float) -> np.ndarray:
    way = max(top - bottom, 1e-12)
    return np.clip((top - np.minimum(losses, top)) / way, 0.0, 1.0)


def swept_fields(points: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the hyperparameters of which a grid has several values, the rate first."""
    names = dict.fromkeys(["learning_rate", *(name for point in points for name in sorted(point))])
    return [name for name in names if len({str(point.get(name)) for point in points}) > 1]


def point_text(points: Sequence[Mapping[str, object]], place: int) -> str:
    """Name a point of a grid by what is swept: ``3e-4``, ``3e-4, weight_decay=0.1``."""
    point, texts = points[place], []
    for name in swept_fields(points):
        value = point.get(name)
        if name == "learning_rate":
            texts.append(rate_text(rate_of(point)))
        else:
            texts.append(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}")
    return ", ".join(texts)


def at_edge(points: Sequence[Mapping[str, object]], place: int) -> bool:
    """Return whether a number of this point is the lowest or highest that was swept.

    The number of a trial is its place in a list, and no magnitude.
    """
    return any(place in (0, len(found) - 1) for found, place in _ranks(points, place))


def near_points(points: Sequence[Mapping[str, object]], place: int) -> int:
    """Count the points that lie at most two steps of the grid from this one, in every number."""
    near = 0
    for other in range(len(points)):
        steps = zip(_ranks(points, place), _ranks(points, other), strict=True)
        near += all(abs(a - b) <= WITHIN for (_, a), (_, b) in steps)
    return near


def _ranks(
    points: Sequence[Mapping[str, object]], place: int
) -> list[tuple[list[int | float], int]]:
    """Return, for each swept number, its values in order and where a point is among them."""
    found = []
    for name in swept_fields(points):
        if name == TRIAL:
            continue
        values = [point.get(name) for point in points]
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        if len(numbers) == len(values):
            ordered = sorted(set(numbers))
            found.append((ordered, ordered.index(numbers[place])))
    return found


def rate_of(point: Mapping[str, object]) -> float:
    """Return the learning rate of a grid point, NaN if it has none."""
    value = point.get("learning_rate", math.nan)
    return float(value) if isinstance(value, int | float) else math.nan


def rate_text(rate: float) -> str:
    """Write a learning rate with at most three digits: ``3e-4``, ``1.73e-3``, ``1``."""
    digits, _, power = f"{rate:.2e}".partition("e")
    return f"{float(digits):g}e{power}".replace("e-0", "e-").replace("e+00", "")
