"""Performance profiles: for how many tasks an optimizer is within a factor of the fastest.

Dolan and More 2002 (arXiv cs/0102001), scored as in AlgoPerf (Dahl et al. 2023, arXiv 2306.07179).
The times are those to the common targets of :mod:`velodrome.results.analyses.equal_steps`; each
target of a task counts alike. A profile depends on who else is compared; the pairwise ones, against
the baseline alone, do not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from velodrome.results.analyses.equal_steps import EqualSteps, optimizers
from velodrome.results.speedup.stats import band, positions, uniforms

SCORE_LIMIT = 4.0
"""AlgoPerf's largest ratio that still counts."""
SHOWN_LIMIT = 16.0
PROFILE_COLUMNS = ("label", "tau", "share", "low", "high")
SCORE_COLUMNS = ("label", "against", "score", "low", "high", "tasks")
_MOST_STEPS = 200
_GRID_TAUS = 201


def time_ratios(
    times: Float[np.ndarray, "*lead optimizer"],
) -> Float[np.ndarray, "*lead optimizer"]:
    """Divide positive times by the shortest of any optimizer; +inf where none was reached."""
    shortest = times.min(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(times), times / shortest, np.inf)


def profile(
    ratios: Float[np.ndarray, "*lead target"], taus: Float[np.ndarray, " tau"]
) -> Float[np.ndarray, "*lead tau"]:
    """Return the share of targets whose ratio is at most tau."""
    return np.stack([(ratios <= tau).mean(axis=-1) for tau in taus], axis=-1)


def score(
    ratios: Float[np.ndarray, "*lead target"], *, limit: float = SCORE_LIMIT
) -> Float[np.ndarray, "*lead"]:
    """Return the exact area under the profile from 1 to ``limit`` over its width.

    The profile is a step function, so the area is the mean over targets of
    ``max(0, limit - ratio) / (limit - 1)``: 1 for the fastest everywhere, 0 for never within.
    """
    return np.asarray((np.maximum(0.0, limit - ratios) / (limit - 1)).mean(axis=-1))


def profiles(tasks: Sequence[Sequence[EqualSteps]]) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Return profiles of all optimizers, and scores among all and against the baseline alone.

    Only tasks on which every optimizer has been run are used. Bands are for the same tasks and
    new seeds; common seeds are drawn together.

    Returns:
      Rows of :data:`PROFILE_COLUMNS`, rows of :data:`SCORE_COLUMNS` (``against`` is "all" or the
      baseline's label), and the number of tasks.
    """
    labels = optimizers(tasks)
    whole = [task for task in tasks if len(task) == len(labels)]
    curves, scores = [], []
    if whole:
        times = np.concatenate([np.stack([runs.times for runs in task], -1) for task in whole])
        drawn = _drawn_times(whole)
        base = next(place for place, runs in enumerate(whole[0]) if runs.baseline)
        ratios, redrawn = time_ratios(times), time_ratios(drawn)
        taus = _taus(ratios)
        for place, label in enumerate(labels):
            share = profile(ratios[:, place], taus)
            low, high = band(profile(redrawn[:, :, place], taus))
            curves.append(
                pd.DataFrame(
                    {"label": label, "tau": taus, "share": share, "low": low, "high": high}
                )
            )
            scores.append(_score(label, "all", ratios[:, place], redrawn[:, :, place], len(whole)))
        for place, label in enumerate(labels):
            if place == base:
                continue
            two = [place, base]
            ours, ours_drawn = time_ratios(times[:, two]), time_ratios(drawn[:, :, two])
            other = labels[base]
            scores.append(_score(label, other, ours[:, 0], ours_drawn[:, :, 0], len(whole)))
            scores.append(_score(other, label, ours[:, 1], ours_drawn[:, :, 1], len(whole)))
    empty = pd.DataFrame(columns=list(PROFILE_COLUMNS))
    return (
        pd.concat(curves, ignore_index=True) if curves else empty,
        pd.DataFrame(scores, columns=list(SCORE_COLUMNS)),
        len(whole),
    )


def _drawn_times(
    tasks: Sequence[Sequence[EqualSteps]],
) -> Float[np.ndarray, "repetition target optimizer"]:
    _, common = uniforms(len(tasks), new_tasks=False)
    found = np.empty((*common.shape, len(tasks[0][0].times), len(tasks[0])))
    for place in range(len(tasks[0])):
        _, own = uniforms(len(tasks), new_tasks=False, seed=1 + place)
        for at, task in enumerate(tasks):
            runs = task[place]
            uniform = common[:, at] if runs.paired else own[:, at]
            found[:, at, :, place] = runs.time_draws[positions(runs.probability, uniform)]
    return found.reshape(len(found), -1, len(tasks[0]))


def _taus(ratios: np.ndarray) -> Float[np.ndarray, " tau"]:
    """Return where profiles are drawn: where they step, if that is seldom, and on a grid.

    The grid is even in log2 up to the shown limit. Bands need it: they step elsewhere.
    """
    steps = np.unique(ratios[ratios <= SHOWN_LIMIT])
    grid = np.exp2(np.linspace(0.0, np.log2(SHOWN_LIMIT), _GRID_TAUS))
    return np.unique([*grid, *(steps if len(steps) <= _MOST_STEPS else ())])


def _score(
    label: str, against: str, ratios: np.ndarray, drawn: np.ndarray, tasks: int
) -> dict[str, object]:
    low, high = band(score(drawn))
    return {
        "label": label, "against": against, "score": float(score(ratios)),
        "low": float(low), "high": float(high), "tasks": tasks,
    }  # fmt: skip
