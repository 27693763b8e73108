"""Probability of improvement: how likely a run of one optimizer ends lower than one of another.

Agarwal et al. 2021 (arXiv 2108.13264): on each task the probability that a run of X scores better
than a run of Y, ties counting half (Mann and Whitney's U over the number of pairs), averaged over
tasks. The score is the final loss after equally many steps, lower being better.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pandas as pd
from jaxtyping import Float

from velodrome.results.analyses.equal_steps import EqualSteps, optimizers
from velodrome.results.speedup.stats import band, positions, uniforms

PAIR_COLUMNS = ("label", "other", "probability", "low", "high", "tasks")


def improvement(
    ours: Float[np.ndarray, "*lead ours"], theirs: Float[np.ndarray, "*lead theirs"]
) -> Float[np.ndarray, "*lead"]:
    """Return the share of pairs of runs in which ours has the lower loss; ties count half.

    Example:
      >>> import numpy as np
      >>> float(improvement(np.array([1.0, 2.0]), np.array([2.0, 3.0])))
      0.875
    """
    mine, other = ours[..., :, None], theirs[..., None, :]
    return np.asarray(((mine < other) + 0.5 * (mine == other)).mean(axis=(-2, -1)))


def pairs(tasks: Sequence[Sequence[EqualSteps]]) -> pd.DataFrame:
    """Return the probability of improvement of every optimizer over every other.

    The interval is for the same tasks and new seeds; where seeds are common, both optimizers get
    the same draw of them. Tasks on which only one of the two has runs, or neither makes progress,
    are left out.
    """
    by_label = [{runs.label: runs for runs in task} for task in tasks]
    rows = []
    for label, other in permutations(optimizers(tasks), 2):
        both = [(task[label], task[other]) for task in by_label if label in task and other in task]
        both = [(a, b) for a, b in both if a.progress or b.progress]
        if not both:
            continue
        value = float(np.mean([improvement(a.losses, b.losses) for a, b in both]))
        means = np.mean(_draws(both), axis=0)
        low, high = band(means)
        rows.append(
            {
                "label": label, "other": other, "probability": value,
                "low": float(low), "high": float(high), "tasks": len(both),
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS))


def _draws(
    both: Sequence[tuple[EqualSteps, EqualSteps]],
) -> list[Float[np.ndarray, " repetition"]]:
    _, first = uniforms(len(both), new_tasks=False)
    _, second = uniforms(len(both), new_tasks=False, seed=1)
    found = []
    for place, (a, b) in enumerate(both):
        at = positions(a.probability, first[:, place])
        if a.paired and b.paired:
            table = improvement(a.loss_draws, b.loss_draws)
            found.append(table[at])
        else:
            to = positions(b.probability, second[:, place])
            found.append(improvement(a.loss_draws[at], b.loss_draws[to]))
    return found
